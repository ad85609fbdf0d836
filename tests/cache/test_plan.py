import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mer.cache import (
    CacheError,
    CacheFolder,
    FailedUtterance,
    Units,
    UtteranceRecord,
    build_shard,
)
from mer.cache.plan_file import PlanFile, packed, read_plan_file
from mer.tests.cache.whole_plan import pending, plan_shards

MakeCache = Callable[..., CacheFolder]
MakeUtterance = Callable[..., tuple[UtteranceRecord, dict[str, Units]]]
WritePlan = Callable[[CacheFolder, dict[str, list[str]]], None]
Wanted = list[tuple[str, str, int]]

UTTERANCES: Wanted = [(f"u{n:02}", "12"[n % 2], 10 + n) for n in range(12)]


@pytest.fixture
def folder(empty_cache: MakeCache) -> CacheFolder:
    return empty_cache("F")


def fail(folder: CacheFolder, name: str, ids: Sequence[str], fingerprint: str = "") -> None:
    """Commit a shard of failures: the plan does not look at activations."""
    failed = [FailedUtterance(id=i, reason="not spoken", fingerprint=fingerprint) for i in ids]
    folder.commit(name, build_shard(folder.spec, [], failed), {})


def test_shards_fill_up_in_order_within_a_session(folder: CacheFolder) -> None:
    plan = plan_shards(folder, [("a", "1", 40), ("b", "2", 90), ("c", "1", 60), ("d", "1", 1)], 100)
    assert plan == {"session1-000": ["a", "c"], "session1-001": ["d"], "session2-000": ["b"]}
    written = {path.stem: json.loads(path.read_text("utf-8")) for path in (folder.path / "plan").iterdir()}
    sizes = {"session1-000": 100, "session1-001": 1, "session2-000": 90}
    hashes = {name: each.pop("self_sha256") for name, each in written.items()}
    assert written == {name: {"format_version": 1, "bytes": sizes[name], "ids": ids} for name, ids in plan.items()}
    content = {name: json.dumps(each, sort_keys=True, separators=(",", ":")).encode() for name, each in written.items()}
    assert hashes == {name: hashlib.sha256(each).hexdigest() for name, each in content.items()}


def test_one_utterance_beyond_the_target_gets_a_shard_of_its_own(folder: CacheFolder) -> None:
    plan = plan_shards(folder, [("a", "1", 1), ("b", "1", 500), ("c", "1", 1)], 100)
    assert list(plan.values()) == [["a"], ["b"], ["c"]]


def test_a_plan_is_kept_when_the_target_or_the_order_changes(folder: CacheFolder) -> None:
    first = plan_shards(folder, UTTERANCES, 40)
    assert plan_shards(folder, UTTERANCES[::-1], 1000) == first


def test_new_utterances_go_to_new_shards(folder: CacheFolder) -> None:
    first = plan_shards(folder, UTTERANCES[:6], 1000)
    grown = plan_shards(folder, [("new", "1", 5), *UTTERANCES], 1000)
    assert grown["session1-000"] == first["session1-000"]
    assert grown["session1-001"] == ["new", "u06", "u08", "u10"]
    assert grown["session2-001"] == ["u07", "u09", "u11"]


def test_a_shard_that_is_not_done_forgets_what_is_not_wanted(folder: CacheFolder) -> None:
    plan_shards(folder, UTTERANCES, 1000)
    fail(folder, "session1-000", [i for i, s, _ in UTTERANCES if s == "1"])
    plan = plan_shards(folder, UTTERANCES[4:], 1000)
    assert plan["session1-000"] == ["u00", "u02", "u04", "u06", "u08", "u10"]  # committed: left as it is
    assert plan["session2-000"] == ["u05", "u07", "u09", "u11"]


def test_a_stale_shard_forgets_what_is_not_wanted(folder: CacheFolder) -> None:
    plan_shards(folder, UTTERANCES, 1000)
    ids = [i for i, s, _ in UTTERANCES if s == "1"]
    fail(folder, "session1-000", ids, fingerprint="old")
    plan = plan_shards(folder, UTTERANCES[4:], 1000, fingerprints={"u04": "new"})
    assert plan["session1-000"] == ["u04", "u06", "u08", "u10"]
    assert pending(folder, plan, {"u04": "new"}) == ["session1-000", "session2-000"]


def test_a_planned_shard_of_which_nothing_is_wanted_any_more_is_forgotten(folder: CacheFolder) -> None:
    plan_shards(folder, [("a", "1", 100), ("b", "1", 100)], 100)
    assert plan_shards(folder, [("b", "1", 100)], 100) == {"session1-001": ["b"]}
    assert [path.name for path in (folder.path / "plan").iterdir()] == ["session1-001.json"]
    assert plan_shards(folder, [("a", "1", 100), ("b", "1", 100)], 100) == {"session1-001": ["b"], "session1-002": ["a"]}


def test_a_session_that_is_not_asked_for_keeps_its_plan(folder: CacheFolder) -> None:
    first = plan_shards(folder, UTTERANCES, 40)
    only = [u for u in UTTERANCES if u[1] == "2"]
    assert plan_shards(folder, only, 40) == {k: v for k, v in first.items() if k.startswith("session2")}
    assert plan_shards(folder, UTTERANCES, 40) == first


def test_a_lost_plan_is_rebuilt_from_the_sidecars(folder: CacheFolder) -> None:
    first = plan_shards(folder, UTTERANCES, 40)
    for name in list(first)[1:]:
        fail(folder, name, first[name])
    shutil.rmtree(folder.path / "plan")
    again = plan_shards(folder, UTTERANCES, 40)
    assert {name: again[name] for name in list(first)[1:]} == {name: first[name] for name in list(first)[1:]}
    assert sorted(i for ids in again.values() for i in ids) == [i for i, _, _ in UTTERANCES]


def test_an_utterance_planned_twice_stays_where_it_is_done(folder: CacheFolder, write_plan: WritePlan) -> None:
    plan = {"session1-000": ["a", "b"], "session1-001": ["b", "c"], "session1-002": ["c", "d"]}
    write_plan(folder, plan)
    fail(folder, "session1-001", ["b", "c"])
    found = plan_shards(folder, [(i, "1", 1) for i in "abcd"], 100)
    assert found == {"session1-000": ["a"], "session1-001": ["b", "c"], "session1-002": ["d"]}


def test_numbers_of_files_without_a_plan_are_not_used_again(folder: CacheFolder) -> None:
    folder.shard_path("session1-004").write_bytes(b"left by an older run")
    assert list(plan_shards(folder, [("a", "1", 1)], 100)) == ["session1-005"]


def test_every_session_name_gives_one_plain_file_name(folder: CacheFolder) -> None:
    sessions = ["Ses01", "ses01", "a b", "a/b", "..", "é", "É", "a_b", "x" * 200, ""]
    plan = plan_shards(folder, [(f"id{n}", name, 1) for n, name in enumerate(sessions)], 100)
    assert sorted(plan.values()) == [[f"id{n}"] for n in range(10)]
    assert len({name.lower() for name in plan}) == 10
    for name, ids in plan.items():
        fail(folder, name, ids)
        assert folder.shard_path(name).parent == folder.path / "shards"
    assert pending(folder, plan, {}) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format_version": 2, "bytes": 1, "ids": ["a"]}',
        '{"format_version": 1, "bytes": 1, "ids": []}',
        '{"format_version": 1, "bytes": 1, "ids": "a"}',
        '{"format_version": 1, "bytes": 1, "ids": [1]}',
        '{"format_version": 1, "bytes": -1, "ids": ["a"]}',
        '{"format_version": 1, "ids": ["a"]}',
    ],
)
def test_a_malformed_plan_says_that_it_may_be_deleted(folder: CacheFolder, content: str) -> None:
    (folder.path / "plan").mkdir()
    (folder.path / "plan" / "session1-000.json").write_text(content, "utf-8")
    with pytest.raises(CacheError, match=r"session1-000\.json: malformed .* delete it: the plan of committed shards"):
        plan_shards(folder, UTTERANCES, 40)


def test_a_shard_is_done_only_when_everything_agrees(small_cache: CacheFolder) -> None:
    plan = {"session1-000": ["a", "b", "bad"], "session2-000": ["c"]}
    now = {"a": "0" * 64, "b": "0" * 64, "c": "0" * 64, "bad": "1" * 64}
    assert pending(small_cache, plan, now) == []
    assert pending(small_cache, plan, now | {"b": "changed"}) == ["session1-000"]
    assert pending(small_cache, plan, now | {"bad": "changed"}) == ["session1-000"]
    assert pending(small_cache, plan | {"session1-000": ["a", "b"]}, now) == ["session1-000"]
    assert pending(small_cache, plan | {"session3-000": ["d"]}, now) == ["session3-000"]
    small_cache.sidecar_path("session2-000").unlink()
    assert pending(small_cache, plan, now) == ["session2-000"]


@pytest.mark.parametrize("damage", ["missing", "short", "long", "torn sidecar"])
def test_a_damaged_shard_is_pending(small_cache: CacheFolder, damage: str) -> None:
    path = small_cache.shard_path("session1-000")
    match damage:
        case "missing":
            path.unlink()
        case "short":
            os.truncate(path, 100)
        case "long":
            path.write_bytes(path.read_bytes() + b"\0")
        case "torn sidecar":
            small_cache.sidecar_path("session1-000").write_text("{", "utf-8")
    assert pending(small_cache, {"session1-000": ["a", "b", "bad"]}, {}) == ["session1-000"]
    time.sleep(0.02)
    beside = small_cache.sidecar_path("session1-000")
    beside.write_bytes(beside.read_bytes())  # as if the damage were older than the commit: only the size tells
    assert pending(small_cache, {"session1-000": ["a", "b", "bad"]}, {}) == ["session1-000"]


def test_a_shard_that_was_touched_after_its_commit_is_hashed(small_cache: CacheFolder) -> None:
    plan = {"session1-000": ["a", "b", "bad"]}
    path = small_cache.shard_path("session1-000")
    content = bytearray(path.read_bytes())
    path.write_bytes(content)
    assert pending(small_cache, plan, {}) == []
    content[-200] ^= 1
    time.sleep(0.02)
    path.write_bytes(content)
    assert pending(small_cache, plan, {}) == ["session1-000"]


wanted_lists = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("123"), st.integers(1, 60)), min_size=1, max_size=20).map(
    lambda rows: [(f"u{n:02}", s, size) for n, (s, size) in {n: (s, b) for n, s, b in rows}.items()]
)


@given(wanted=wanted_lists, data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_interrupted_run_ends_with_the_plan_of_an_uninterrupted_one(
    empty_cache: MakeCache, tmp_path_factory: pytest.TempPathFactory, wanted: Wanted, data: Any
) -> None:
    root: Path = tmp_path_factory.mktemp("plan")
    whole = plan_shards(empty_cache("F", root=root / "whole"), wanted, 100)
    for other in range(2):  # another process, and the same one after each interruption
        folder = empty_cache("F", root=root / f"interrupted{other}")
        assert plan_shards(folder, wanted, 100) == whole
        for name in data.draw(st.lists(st.sampled_from(sorted(whole)), max_size=3, unique=True)):
            fail(folder, name, whole[name])
            assert plan_shards(folder, wanted, 100) == whole
            assert name not in pending(folder, whole, {})


@given(steps=st.lists(wanted_lists, min_size=1, max_size=4), data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_wanted_utterance_is_in_one_shard_of_its_session_and_committed_shards_stay(
    empty_cache: MakeCache, tmp_path_factory: pytest.TempPathFactory, steps: list[Wanted], data: Any
) -> None:
    folder = empty_cache("F", root=tmp_path_factory.mktemp("plan"))
    sessions: dict[str, str] = {}
    committed: dict[str, list[str]] = {}
    for step in steps:
        wanted = [(i, sessions.setdefault(i, s), size) for i, s, size in step]
        plan = plan_shards(folder, wanted, 100)
        ids = [i for members in plan.values() for i in members]
        assert len(set(ids)) == len(ids)
        assert {i for i, _, _ in wanted} <= set(ids)
        for name, members in plan.items():
            assert {f"session{sessions[i]}" for i in members} == {name.split("-")[0]}
        for name, members in committed.items():
            assert plan.get(name, members) == members
        done = data.draw(st.lists(st.sampled_from(sorted(plan)), max_size=3, unique=True))
        for name in done:
            fail(folder, name, plan[name])
            committed[name] = plan[name]
        assert set(pending(folder, plan, {})) == set(plan) - set(committed)


def test_a_flipped_bit_in_a_plan_is_seen_and_one_without_a_hash_is_read(folder: CacheFolder) -> None:
    PlanFile(shard="session1-000", packed=packed(["a", "b"]), bytes=70).write(folder, exclusive=True)
    file = folder.path / "plan" / "session1-000.json"
    whole, refused = file.read_bytes(), 0
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            read = read_plan_file(folder, "session1-000")
        except CacheError:
            refused += 1
        else:
            assert read is not None
            assert (read.ids, read.bytes) == (["a", "b"], 70), bit
    assert refused > 7 * len(whole)  # all but those that make white space of white space
    document = json.loads(whole)
    del document["self_sha256"]
    file.write_text(json.dumps(document))
    read = read_plan_file(folder, "session1-000")
    assert read is not None
    assert read.ids == ["a", "b"]
