"""A cache as Python has it: utterances by id, tables, and the way into another process."""

import multiprocessing
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.cache import (
    CacheError,
    CacheFolder,
    CacheSet,
    FeatureCache,
    UnknownUtteranceError,
    cache_info,
    open_cache,
    open_features,
    verify,
)
from mer.cache.cache_set import set_spec, write_set
from mer.files.data_frame import MissingPandasError


@pytest.fixture
def small_set(tmp_path: Path, spec: Callable[..., Any], utterance: Callable[..., Any], commit: Callable[..., None]) -> CacheSet:
    """Two speech encoders, one of which lacks an utterance, beside a text encoder."""
    made: list[CacheFolder] = []
    for granularities, model, names in (("FST", "one", "abc"), ("FS", "two", "ca")):
        folder = CacheFolder.create(str(tmp_path / "set"), spec(granularities) | {"speech": {"model": model}})
        sizes = {name: {"F": 2, "S": 1, "T": 3}[name] for name in granularities}
        commit(folder, "session1-000", [utterance(each, sizes, seed=ord(each) + len(made)) for each in names])
        made.append(folder)
    called = ({"speech": "one", "text": "words"}, {"speech": "two"})
    write_set(tmp_path / "set", set_spec([(each.spec, own) for each, own in zip(made, called, strict=True)]))
    found = open_features(str(tmp_path / "set"))
    assert isinstance(found, CacheSet)
    return found


def test_a_cache_is_a_mapping_of_its_utterances(small_cache: CacheFolder) -> None:
    cache = open_cache(str(small_cache.path))
    assert (len(cache), list(cache)) == (3, ["a", "b", "c"])
    assert "a" in cache
    assert "bad" not in cache
    assert 0 not in cache
    found = cache["c"]
    assert (found.label, found.speaker, found.session, found.text, found.seconds) == ("ang", "2F", "2", "nothing to say", 1.5)
    assert list(found) == ["F", "S", "T"] == [*dict(found)]
    assert "P" not in found
    np.testing.assert_array_equal(found["S"], cache.read("c", "S"))
    np.testing.assert_array_equal(found.spans("S"), [[0.0, 0.75], [0.75, 1.5]])
    assert found.unit_labels("S") == ("u0", "u1")
    assert cache != open_cache(small_cache.path)
    assert {cache: 1}[cache] == 1


def test_an_utterance_that_is_not_there_is_named_with_what_helps(small_cache: CacheFolder) -> None:
    cache = open_cache(small_cache.path)
    with pytest.raises(UnknownUtteranceError, match="extraction failed"):
        cache["bad"]
    with pytest.raises(KeyError, match="'d' is not among the 3 utterances"):
        cache["d"]
    with pytest.raises(UnknownUtteranceError, match="asked for by its id, such as 'a', got 0"):
        cache[0]  # type: ignore[index]  # pyright: ignore[reportArgumentType]


def test_a_set_is_one_as_well(small_set: CacheSet) -> None:
    assert (len(small_set), list(small_set), "b" in small_set) == (2, ["a", "c"], False)
    assert small_set["c"]["F@two"].shape == (2, 2, 4)
    assert small_set["c"].unit_labels("S@one") == ("u0",)
    np.testing.assert_array_equal(small_set["c"].spans("S@two"), [[0.0, 1.5]])


def test_paths_may_be_strings_everywhere(small_cache: CacheFolder) -> None:
    assert cache_info(str(small_cache.path)) == cache_info(small_cache)
    assert verify(str(small_cache.path), full=True) == verify(small_cache, full=True)
    assert CacheFolder.find(str(small_cache.path)).key == small_cache.key


def test_reprs_are_short_and_tables_are_escaped(
    empty_cache: Callable[..., CacheFolder], utterance: Callable[..., Any], commit: Callable[..., None], small_set: CacheSet
) -> None:
    folder = empty_cache("FS", name="toy")
    commit(folder, "session1-000", [utterance("<b>\x1b", {"F": 3, "S": 2})])
    cache = open_cache(folder.path)
    assert repr(cache) == f"<FeatureCache of toy: 1 utterances, F+S, in {folder.path}>"
    assert repr(small_set).startswith("<CacheSet of toy: 2 utterances, F@one+F@two+S@one+S@two+T@words, in ")
    assert repr(cache["<b>\x1b"]) == "<CachedUtterance <b>\x1b: ang, 1.50 s, F+S>"
    told = cache["<b>\x1b"]._repr_html_()
    assert "<caption>utterance &lt;b&gt;\\x1b</caption>" in told
    assert '<tr><th scope="row">S</th><td>2 units x 2 layers x 4</td></tr>' in told
    assert '<th scope="row">F</th><td>3</td><td>2</td><td>4</td>' in cache._repr_html_()
    assert "ang 1" in cache._repr_html_()


def test_a_data_frame_has_a_row_for_each_utterance(small_cache: CacheFolder, small_set: CacheSet) -> None:
    found = open_cache(small_cache.path).frame()
    assert found["id"].tolist() == ["a", "b", "c"]
    assert found["F"].tolist() == [1, 3, 3]
    assert found.loc[2, ["session", "label", "seconds", "T"]].tolist() == ["2", "ang", 1.5, 4]
    assert small_set.frame()["F@two"].tolist() == [2, 2]


def test_without_pandas_the_extra_is_named(small_cache: CacheFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPandasError, match=r'the extra `pandas`.*pip install "mer-fusion\[pandas\]"'):
        open_cache(small_cache.path).frame()


def again(cache: Any) -> Any:
    return pickle.loads(pickle.dumps(cache))


def test_a_cache_is_pickled_as_its_path_and_opened_when_it_is_used(small_cache: CacheFolder) -> None:
    cache = open_cache(small_cache.path)
    expected = np.array(cache.read("c", "F"))  # its shards are mapped now, and a mapped file cannot be pickled
    assert len(pickle.dumps(cache)) < 1_000
    other = again(cache)
    assert list(vars(other)) == ["_opens"]
    assert again(other).key == cache.key
    np.testing.assert_array_equal(other.read("c", "F"), expected)
    assert "_opens" not in vars(other)
    assert other.utterances.ids == cache.utterances.ids
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = other.magic


def test_a_set_is_pickled_as_its_path_too(small_set: CacheSet) -> None:
    other = again(small_set)
    assert list(vars(other)) == ["_opens"]
    np.testing.assert_array_equal(other.read("c", "F@two"), small_set.read("c", "F@two"))


def test_units_that_were_packed_stay_those_of_their_rows_when_the_cache_has_grown(
    small_cache: CacheFolder, utterance: Callable[..., Any], commit: Callable[..., None]
) -> None:
    packed = open_cache(small_cache.path).packed("F")
    expected = [np.array(each) for each in packed.views(range(3))]
    sent = pickle.dumps(packed)
    commit(small_cache, "session1-001", [utterance("aa", {"F": 3, "S": 2, "T": 4}, seed=9)])
    for mine, theirs in zip(expected, pickle.loads(sent).views(range(3)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(open_cache(small_cache.path)) == 4


def test_a_shard_that_was_made_anew_meanwhile_is_refused(
    small_cache: CacheFolder, utterance: Callable[..., Any], commit: Callable[..., None]
) -> None:
    sent = pickle.dumps(open_cache(small_cache.path))
    commit(small_cache, "session2-000", [utterance("c", {"F": 3, "S": 2, "T": 4}, session="2", seed=8)])
    with pytest.raises(
        CacheError, match="shard session2-000 was made anew, or is gone, since this cache was opened; open it anew"
    ):
        pickle.loads(sent).read("c", "F")


def test_threads_that_open_it_at_once_all_read(small_cache: CacheFolder) -> None:
    other, found = again(open_cache(small_cache.path)), list[int]()
    barrier = threading.Barrier(8)

    def read() -> None:
        barrier.wait()
        found.append(len(other.utterances))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 8


def total(cache: FeatureCache) -> float:
    return float(sum(cache.read(name, "F").astype(np.float64).sum() for name in cache))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
def test_a_child_that_was_forked_reads_what_its_parent_has_open(small_cache: CacheFolder) -> None:
    cache = open_cache(small_cache.path)
    expected = total(cache)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(total, [cache, cache]) == [expected, expected]
