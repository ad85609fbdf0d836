import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.cache import CacheError, CacheFolder, Units, UtteranceRecord, build_shard, cache_key

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
