"""Several caches as one: which rows of which cache are read, and what must not be put together."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.cache import CacheError, CacheFolder, open_cache, open_features
from mer.cache.cache_set import CacheSet, caches_at, open_set, set_spec, write_set
from mer.cache.granularity import in_order, stream
from mer.cache.set_file import short_name

SIZES = {"F": 2, "S": 1, "T": 3}


@pytest.fixture
def two(
    tmp_path: Path, spec: Callable[..., Any], utterance: Callable[..., Any], commit: Callable[..., None]
) -> list[CacheFolder]:
    """`a b c` of one speech encoder and a text encoder, `c a` in another order of another speech encoder."""
    made: list[CacheFolder] = []
    for granularities, model, names in (("FST", "tiny-speech", "abc"), ("FS", "other", "cae")):
        folder = CacheFolder.create(tmp_path, spec(granularities) | {"speech": {"model": model}})
        sizes = {name: SIZES[name] for name in granularities}
        rows = [utterance(each, sizes, seed=ord(each) + len(made), session=str(1 + (each > "b"))) for each in names]
        for session in ("1", "2"):
            commit(folder, f"session{session}-000", [row for row in rows if row[0].session == session])
        made.append(folder)
    return made


def together(caches: list[CacheFolder], root: Path) -> Path:
    names = ({"speech": "one", "text": "words"}, {"speech": "two"})
    return write_set(root, set_spec([(each.spec, called) for each, called in zip(caches, names, strict=True)]))


def test_a_set_has_the_units_of_each_encoder_for_the_utterances_that_all_caches_hold(two: Any, tmp_path: Path) -> None:
    folder = together(two, tmp_path)
    found = open_features(folder)
    assert isinstance(found, CacheSet)
    assert found.granularities == ("F@one", "F@two", "S@one", "S@two", "T@words")
    assert found.utterances.ids == ("a", "c")
    first, second = map(open_cache, (each.path for each in two))
    for name, cache in (("F@one", first), ("F@two", second), ("T@words", first)):
        unit = name[0]
        for row, utterance_id in enumerate(found.utterances.ids):
            (units,) = found.packed(name, [row]).views([0])
            np.testing.assert_array_equal(units, cache.read(utterance_id, unit))
            np.testing.assert_array_equal(found.read(utterance_id, name), units)
        assert (found.layers(name), found.dim(name)) == (cache.layers(unit), cache.dim(unit))
    assert not np.array_equal(found.read("a", "F@one"), found.read("a", "F@two"))
    assert found.spec["speech@two"] == {"model": "other"}
    told: list[tuple[int, int]] = []
    found.check(lambda done, total: told.append((done, total)))
    assert told[-1] == (told[-1][1],) * 2
    assert told == sorted(told)


def test_a_root_with_a_set_and_its_caches_is_the_set_and_another_cache_beside_it_asks(
    two: Any, tmp_path: Path, spec: Any
) -> None:
    folder = together(two, tmp_path)
    assert open_features(tmp_path).path == folder
    assert {each.path for each in caches_at(tmp_path)} == {each.path for each in two}
    other = CacheFolder.create(tmp_path, spec("F", dtype="float32"))
    with pytest.raises(CacheError, match="2 caches and sets") as refused:
        open_features(tmp_path)
    assert str(folder) in str(refused.value)
    assert str(other.path) in str(refused.value)
    assert str(two[0].path) not in str(refused.value)


def test_caches_of_other_inputs_or_settings_are_no_set(
    two: Any, tmp_path: Path, spec: Any, utterance: Any, commit: Callable[..., None]
) -> None:
    changed = CacheFolder.create(tmp_path, spec("F") | {"speech": {"model": "changed"}})
    commit(changed, "session1-000", [utterance("a", {"F": 2}, fingerprint="2" * 64)])
    with pytest.raises(CacheError, match="1 utterances, first a, were extracted from other recordings"):
        open_set(together([two[0], changed], tmp_path))
    with pytest.raises(CacheError, match="differ in storage"):
        together([two[0], CacheFolder.create(tmp_path, spec("F", dtype="float32"))], tmp_path)
    with pytest.raises(CacheError, match="two caches of one set call an encoder 'one'"):
        set_spec([(each.spec, {"speech": "one", "text": "words"}) for each in two])


def test_a_set_that_was_edited_or_lacks_a_cache_is_refused(two: Any, tmp_path: Path) -> None:
    folder = together(two, tmp_path)
    text = (folder / "set.json").read_text()
    (folder / "set.json").write_text(json.dumps(json.loads(text) | {"granularities": ["F@one"]}))
    with pytest.raises(CacheError, match="it was edited"):
        open_features(folder)
    (folder / "set.json").write_text(text)
    two[1].path.rename(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match=f"{two[1].path.name} is not there"):
        open_features(folder)


def test_names_of_granularities_and_of_encoders() -> None:
    assert [short_name(each) for each in ("microsoft/wavlm-large", "/models/w2v-BERT_2.0/", "..", "a\\B C")] == [
        "wavlm-large", "w2v-bert_2-0", "encoder", "b-c",
    ]  # fmt: skip
    assert [stream(each) for each in ("F", "T", "S@a", "T@b")] == ["speech", "text", "speech@a", "text@b"]
    assert in_order(["T@b", "S", "F@z", "T", "F@a"]) == ("F@a", "F@z", "S", "T", "T@b")
