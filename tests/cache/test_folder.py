import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.cache import CacheError, CacheFolder, Units, UtteranceRecord, build_shard, cache_key, verify
from mer.cache.failed_shard import FailedShard

MakeSpec = Callable[..., dict[str, Any]]
MakeCache = Callable[..., CacheFolder]
MakeUtterance = Callable[..., tuple[UtteranceRecord, dict[str, Units]]]


def test_a_cache_is_named_by_corpus_and_key(tmp_path: Path, spec: MakeSpec) -> None:
    folder = CacheFolder.create(tmp_path, spec())
    assert folder.path == tmp_path / "toy" / cache_key(spec())[:12]
    assert folder.key == cache_key(spec())
    assert json.loads((folder.path / "spec.json").read_text("utf-8")) == spec()
    assert list((folder.path / "tmp").iterdir()) == []


def test_creating_twice_opens_the_same(tmp_path: Path, spec: MakeSpec) -> None:
    CacheFolder.create(tmp_path, spec())
    assert CacheFolder.create(tmp_path, spec()).path == CacheFolder.find(tmp_path).path


def test_another_spec_in_the_folder_is_refused(tmp_path: Path, spec: MakeSpec) -> None:
    folder = CacheFolder.create(tmp_path, spec())
    (folder.path / "spec.json").write_text(json.dumps(spec() | {"speech": {"model": "other"}}), "utf-8")
    message = r"spec\.json: its key is [0-9a-f]{12} but the folder is named"
    with pytest.raises(CacheError, match=message):
        CacheFolder.create(tmp_path, spec())
    with pytest.raises(CacheError, match=message):
        CacheFolder.find(tmp_path)


def test_two_specs_with_the_same_twelve_digits_are_told_apart(
    tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.cache.folder.cache_key", lambda spec: "a" * 64)
    CacheFolder.create(tmp_path, spec())
    with pytest.raises(CacheError, match="two specs share 12 digits"):
        CacheFolder.create(tmp_path, spec() | {"speech": {"model": "other"}})


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_spec_that_is_no_json_object_is_named(small_cache: CacheFolder, content: bytes) -> None:
    (small_cache.path / "spec.json").write_bytes(content)
    with pytest.raises(CacheError, match=r"spec\.json: .*`mer extract` into a new `--cache`"):
        CacheFolder.find(small_cache.path)


def test_a_cache_is_found_from_its_folder_its_corpus_and_its_root(small_cache: CacheFolder) -> None:
    for path in (small_cache.path, small_cache.path.parent, small_cache.path.parent.parent):
        assert CacheFolder.find(path).path == small_cache.path


def test_no_cache_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CacheError, match=r"no feature cache here; `mer extract` makes one"):
            CacheFolder.find(path)


def test_several_caches_are_listed_with_what_they_hold(tmp_path: Path, spec: MakeSpec) -> None:
    first = CacheFolder.create(tmp_path, spec("FS"))
    second = CacheFolder.create(tmp_path, spec("T", name="other"))
    with pytest.raises(CacheError, match="holds 2 caches; pass the folder") as caught:
        CacheFolder.find(tmp_path)
    lines = str(caught.value).splitlines()[1:]
    assert [str(first.path) in line or str(second.path) in line for line in lines] == [True, True]
    assert any("corpus toy, models tiny-speech + tiny-text, F+S" in line for line in lines)
    assert CacheFolder.find(tmp_path, corpus="other").path == second.path
    with pytest.raises(CacheError, match=r"no feature cache of corpus 'third' here; there is .*toy"):
        CacheFolder.find(tmp_path, corpus="third")


def test_a_root_that_cannot_be_made_is_an_error_of_the_cache(tmp_path: Path, spec: MakeSpec) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(CacheError, match="cannot make this folder"):
        CacheFolder.create(tmp_path / "file", spec())


def test_a_shard_of_another_cache_is_not_committed(empty_cache: MakeCache, spec: MakeSpec, utterance: MakeUtterance) -> None:
    shard = build_shard(spec("F"), [utterance("a", {"F": 1})], [])
    with pytest.raises(CacheError, match=r"session1-000 was built for cache [0-9a-f]{12}, not for"):
        empty_cache("FS").commit("session1-000", shard, {})


@pytest.mark.parametrize("name", ["../x", "session1", "session1-00", "Session1-000", "session1-000.h5", ""])
def test_only_names_of_the_plan_become_files(empty_cache: MakeCache, spec: MakeSpec, utterance: MakeUtterance, name: str) -> None:
    with pytest.raises(CacheError, match="is no shard name"):
        empty_cache("F").commit(name, build_shard(spec("F"), [utterance("a", {"F": 1})], []), {})


def test_a_torn_sidecar_is_not_committed_and_reported(small_cache: CacheFolder) -> None:
    path = small_cache.sidecar_path("session1-000")
    path.write_bytes(path.read_bytes()[:-40])
    assert list(small_cache.sidecars()) == ["session2-000"]
    assert list(small_cache.torn) == ["session1-000"]
    assert str(path) in small_cache.torn["session1-000"]


def test_a_sidecar_under_another_name_is_not_accepted(small_cache: CacheFolder) -> None:
    small_cache.sidecar_path("session1-000").rename(small_cache.sidecar_path("session1-007"))
    small_cache.sidecars()
    assert "was committed as session1-000" in small_cache.torn["session1-007"]


def test_stray_files_are_no_shards(small_cache: CacheFolder) -> None:
    for name in ("._session1-000.json", "notes.json", "session1-000.json~", "x.h5"):
        (small_cache.path / "shards" / name).write_text("{}", "utf-8")
    assert list(small_cache.sidecars()) == ["session1-000", "session2-000"]
    assert small_cache.shard_files() == ["session1-000", "session2-000"]
    assert small_cache.torn == {}


def test_one_shard_is_committed_when_sidecar_and_file_are_whole(small_cache: CacheFolder) -> None:
    sidecar = small_cache.committed("session1-000")
    assert sidecar is not None
    assert sidecar.ids == small_cache.sidecars()["session1-000"].ids
    assert small_cache.committed("session9-000") is None
    path = small_cache.shard_path("session1-000")
    path.write_bytes(path.read_bytes()[:-1])
    assert small_cache.committed("session1-000") is None
    path.unlink()
    assert small_cache.committed("session1-000") is None
    small_cache.sidecar_path("session2-000").write_text("{")
    assert small_cache.committed("session2-000") is None


def test_a_mark_changes_with_every_commit(small_cache: CacheFolder, utterance: MakeUtterance) -> None:
    before = small_cache.mark("session1-000")
    assert before == small_cache.mark("session1-000") != small_cache.mark("session2-000")
    assert small_cache.mark("session9-000") is None
    shard = build_shard(small_cache.spec, [utterance("a", dict.fromkeys(small_cache.spec["granularities"], 1))], [])
    marks = set()
    for finished in (1.0, 2.0):
        small_cache.commit("session1-000", shard, {"finished": finished})
        marks.add(small_cache.mark("session1-000"))
    assert len(marks | {before}) == 3


def test_commits_of_other_machines_are_waited_for_a_few_seconds_only(small_cache: CacheFolder) -> None:
    sidecar, aside = small_cache.sidecar_path("session1-000"), small_cache.path / "unseen"
    sidecar.rename(aside)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            aside.rename(sidecar)

    names = ["session1-000", "session2-000"]
    assert small_cache.wait_for(names, pause=pause) == set()
    assert len(pauses) == 2
    assert small_cache.wait_for([*names, "session9-000"], pause=pauses.append) == {"session9-000"}
    assert 0 < sum(pauses[2:]) < 10
    assert small_cache.wait_for(names, pause=lambda seconds: pytest.fail("nothing to wait for")) == set()


def test_a_folder_is_asked_anew_before_a_sidecar_is_read(small_cache: CacheFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    open_ = os.open

    def note(path: Path, *rest: int, **named: int) -> int:
        opened.append(str(path))
        return open_(path, *rest, **named)

    monkeypatch.setattr("mer.cache.folder.os.open", note)
    small_cache.committed("session1-000")
    assert opened[0] == str(small_cache.path / "shards")


def test_a_sidecar_that_is_replaced_while_it_is_read_is_not_torn(
    small_cache: CacheFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*given: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "open", stale)
    assert small_cache.sidecars() == {}
    assert small_cache.torn == {}


def failure(shard: str = "session2-000", reason: str = "the disk is full (on n1)") -> FailedShard:
    return FailedShard(shard=shard, reason=reason, tries=2, host="n0", time=1.5)


def test_a_failure_is_kept_until_its_shard_is_committed(small_cache: CacheFolder, utterance: MakeUtterance) -> None:
    assert small_cache.failures() == {}
    small_cache.record_failure(failure(reason="first"))
    small_cache.record_failure(failure())
    small_cache.record_failure(failure("session3-000"))
    assert small_cache.failures() == {"session2-000": failure(), "session3-000": failure("session3-000")}
    assert json.loads((small_cache.path / "failed" / "session2-000.json").read_text()) == {
        **{"shard": "session2-000", "reason": "the disk is full (on n1)", "tries": 2, "host": "n0", "time": 1.5}
    }
    shard = build_shard(small_cache.spec, [utterance("a", dict.fromkeys(small_cache.spec["granularities"], 1))], [])
    small_cache.commit("session2-000", shard, {})
    assert list(small_cache.failures()) == ["session3-000"]
    small_cache.forget_failure("session3-000")
    small_cache.forget_failure("session3-000")
    assert small_cache.failures() == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"shard": "session2-000"}', failure("session5-000").to_json(), "\x00"])
def test_a_record_of_a_failure_that_is_none_is_left_out(small_cache: CacheFolder, text: str) -> None:
    small_cache.record_failure(failure())
    (small_cache.path / "failed" / "session2-000.json").write_text(text)
    assert small_cache.failures() == {}


def test_a_failure_with_an_impossible_field_is_left_out(small_cache: CacheFolder) -> None:
    small_cache.record_failure(failure())
    path = small_cache.path / "failed" / "session2-000.json"
    for field, value in (("tries", "2"), ("time", None), ("reason", 3)):
        path.write_text(json.dumps(json.loads(failure().to_json()) | {field: value}))
        assert small_cache.failures() == {}


def test_failures_are_no_finding_of_verify(small_cache: CacheFolder) -> None:
    small_cache.record_failure(failure())
    assert verify(small_cache, full=True).ok
