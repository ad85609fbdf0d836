import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mer.cache import CacheError, CacheFolder, Units, UtteranceRecord, open_cache, verify
from mer.files import file_sha256

MakeUtterance = Callable[..., tuple[UtteranceRecord, dict[str, Units]]]
WritePlan = Callable[[CacheFolder, dict[str, list[str]]], None]


def snapshot(folder: CacheFolder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("full", [False, True])
def test_a_whole_cache_has_no_findings_and_is_not_changed(small_cache: CacheFolder, full: bool) -> None:
    before = snapshot(small_cache)
    seen: list[tuple[int, int]] = []
    report = verify(small_cache, full=full, progress=lambda done, total: seen.append((done, total)))
    assert report.ok
    assert (report.shards, report.utterances, report.full) == (2, 3, full)
    assert seen[-1] == (seen[-1][1], sum(map(len, (v for k, v in before.items() if k.endswith(".h5")))))
    assert report.bytes == (seen[-1][1] if full else 0)
    assert snapshot(small_cache) == before


def test_every_one_of_600_flipped_bits_is_found_by_verify_and_by_reading(
    empty_cache: Callable[..., CacheFolder], utterance: MakeUtterance, commit: Callable[..., None]
) -> None:
    folder = empty_cache("F")
    commit(folder, "session1-000", [utterance("a", {"F": 200})])
    path = folder.shard_path("session1-000")
    original = path.read_bytes()
    draw = random.Random(0)
    for _ in range(600):
        content = bytearray(original)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        (finding,) = verify(folder, full=True).findings
        assert finding.shard == "session1-000"
        with pytest.raises(CacheError, match="altered since it was committed"):
            open_cache(folder.path).read("a", "F")
    path.write_bytes(original)
    assert verify(folder, full=True).ok
    assert len(open_cache(folder.path).read("a", "F")) == 200


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_every_truncation_is_found(small_cache: CacheFolder, full: bool, share: float) -> None:
    path = small_cache.shard_path("session1-000")
    os.truncate(path, int(path.stat().st_size * share))
    (finding,) = verify(small_cache, full=full).findings
    assert finding.shard == "session1-000"
    assert "truncated" in finding.problem
    assert str(path) in finding.problem
    assert str(small_cache.sidecar_path("session1-000")) in finding.action
    assert finding.message == f"{finding.problem}; {finding.action}"


def test_a_flip_is_found_even_if_reading_remembered_the_shard(small_cache: CacheFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.cache.verified._SETTLED_NS", -1)
    open_cache(small_cache.path).check()
    path = small_cache.shard_path("session1-000")
    offset = small_cache.sidecars()["session1-000"].datasets["F/data"].offset
    assert offset is not None
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    remembered = json.loads((small_cache.path / "verified.json").read_text("utf-8"))
    status = path.stat()
    remembered["shards"]["session1-000"] |= {"mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}
    (small_cache.path / "verified.json").write_text(json.dumps(remembered), "utf-8")
    open_cache(small_cache.path).check()  # decayed without a trace: only the full check can know
    assert verify(small_cache, full=False).ok
    assert [finding.shard for finding in verify(small_cache, full=True).findings] == ["session1-000"]


def test_missing_and_torn_and_unfinished_shards_are_named(small_cache: CacheFolder, write_plan: WritePlan) -> None:
    small_cache.shard_path("session1-000").unlink()
    small_cache.sidecar_path("session2-000").write_text("{", "utf-8")
    plan = {"session1-000": ["a", "b", "bad"], "session2-000": ["c"], "session3-000": ["x", "y"]}
    write_plan(small_cache, plan)
    small_cache.shard_path("session4-000").write_bytes(b"left by a killed run")
    found = {finding.shard: finding for finding in verify(small_cache, full=False).findings}
    assert sorted(found) == ["session1-000", "session2-000", "session3-000", "session4-000"]
    assert "missing" in found["session1-000"].problem
    assert "not the sidecar of a shard" in found["session2-000"].problem
    assert "2 utterances are waiting" in found["session3-000"].problem
    assert "without a sidecar" in found["session4-000"].problem
    assert all("mer extract" in finding.action for finding in found.values())


def test_an_empty_cache_is_a_finding(empty_cache: Callable[..., CacheFolder]) -> None:
    (finding,) = verify(empty_cache(), full=True).findings
    assert finding.problem == "no shard is committed yet"


def test_a_malformed_plan_is_a_finding(small_cache: CacheFolder) -> None:
    (small_cache.path / "plan").mkdir()
    (small_cache.path / "plan" / "session3-000.json").write_text("{", "utf-8")
    (finding,) = verify(small_cache, full=False).findings
    assert finding.shard == "plan"
    assert "session3-000.json: malformed" in finding.problem


def test_an_utterance_in_two_shards_is_a_finding(
    small_cache: CacheFolder, utterance: MakeUtterance, commit: Callable[..., None]
) -> None:
    commit(small_cache, "session3-000", [utterance("c", {"F": 1, "S": 1, "T": 1})])
    (finding,) = verify(small_cache, full=False).findings
    assert (finding.shard, "'c' is also in shard session2-000" in finding.problem) == ("session3-000", True)


def reseal(folder: CacheFolder, name: str, **changes: object) -> None:
    """Make the sidecar say what the file now is: only the content itself can still give it away."""
    path = folder.shard_path(name)
    sidecar = folder.sidecars()[name]
    changed = replace(sidecar, bytes=path.stat().st_size, sha256=file_sha256(path), **changes)  # type: ignore[arg-type]
    folder.sidecar_path(name).write_text(changed.to_json(), "utf-8")


@pytest.mark.parametrize(
    ("dataset", "value", "problem"),
    [
        ("F/data", np.float16(np.nan), "utterance 'b': 1 values of granularity F are infinite or not a number"),
        ("T/data", np.float16(-np.inf), "granularity T are infinite"),
        ("S/span", np.nan, "/S/span holds a time"),
        ("F/offsets", 1, "/F/offsets disagrees with the sidecar"),
        ("utterance/id", b"z", "/utterance/id disagrees"),
        ("utterance/seconds", 9.0, "/utterance/seconds disagrees"),
        ("failed/reason", b"another", "/failed/reason disagrees"),
    ],
)
def test_contents_that_cannot_be_are_found_though_the_digest_is_right(
    small_cache: CacheFolder, dataset: str, value: object, problem: str
) -> None:
    with h5py.File(small_cache.shard_path("session1-000"), "r+") as file:
        found = file[dataset]
        assert isinstance(found, h5py.Dataset)
        found[(0,) * found.ndim] = value
    reseal(small_cache, "session1-000")
    assert verify(small_cache, full=False).ok
    (finding,) = verify(small_cache, full=True).findings
    assert problem in finding.problem
    assert str(small_cache.shard_path("session1-000")) in finding.problem


def test_a_bad_value_is_found_in_the_last_utterance_too(small_cache: CacheFolder) -> None:
    with h5py.File(small_cache.shard_path("session1-000"), "r+") as file:
        found = file["F/data"]
        assert isinstance(found, h5py.Dataset)
        found[-1, -1, -1] = np.inf
    reseal(small_cache, "session1-000")
    (finding,) = verify(small_cache, full=True).findings
    assert "utterance 'a': 1 values of granularity F" in finding.problem


def test_an_id_twice_in_one_shard_is_found(small_cache: CacheFolder) -> None:
    sidecar = small_cache.sidecars()["session1-000"]
    twice = tuple(replace(record, id="b") for record in sidecar.utterances)
    reseal(small_cache, "session1-000", utterances=twice)
    (finding,) = verify(small_cache, full=True).findings
    assert "'b' occurs twice" in finding.problem


def test_an_unreadable_folder_of_shards_is_no_crash(tmp_path: Path, small_cache: CacheFolder) -> None:
    path = small_cache.shard_path("session1-000")
    path.unlink()
    path.mkdir()
    (finding,) = verify(small_cache, full=True).findings
    assert finding.shard == "session1-000"
