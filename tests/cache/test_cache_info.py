import json
from collections.abc import Callable
from typing import Any

import pytest

from mer.cache import CacheFolder, cache_info

WritePlan = Callable[[CacheFolder, dict[str, list[str]]], None]


def test_it_counts_what_is_there(small_cache: CacheFolder) -> None:
    info = cache_info(small_cache)
    assert json.loads(json.dumps(info)) == info
    assert info["granularities"] == {
        "F": {"units": 7, "bytes": 7 * 2 * 4 * 2, "layers": [1, 2], "dim": 4},
        "S": {"units": 6, "bytes": 6 * 2 * 4 * 2, "layers": [1, 2], "dim": 4},
        "T": {"units": 12, "bytes": 12 * 3 * 5 * 2, "layers": [1, 2, 3], "dim": 5},
    }
    assert info["utterances"] == 3
    assert info["seconds"] == pytest.approx(4.5)
    assert info["failed"] == [{"id": "bad", "reason": "the wav is empty"}]
    assert info["labels"] == {"ang": 3}
    assert info["sessions"] == {"1": 2, "2": 1}
    assert info["speakers"] == 2
    assert info["alignments"] == {"corpus": 3}
    assert info["shards"] == 2
    assert info["bytes"] == sum(small_cache.shard_path(name).stat().st_size for name in small_cache.shard_files())
    assert info["models"] == {"speech": {"model": "tiny-speech"}, "text": {"model": "tiny-text"}}
    assert info["corpus"] == {"name": "toy", "kind": "manifest", "synthetic": True}
    assert info["unfinished"] == {"shards": 0, "utterances": 0}
    assert info["damaged"] == []


def test_it_says_what_is_unfinished_and_what_is_damaged(small_cache: CacheFolder, write_plan: WritePlan) -> None:
    plan = {"session1-000": ["a", "b", "bad"], "session2-000": ["c"], "session3-000": ["x", "y"]}
    write_plan(small_cache, plan)
    small_cache.sidecar_path("session2-000").write_text("{", "utf-8")
    info = cache_info(small_cache)
    assert info["unfinished"] == {"shards": 2, "utterances": 3}
    assert info["damaged"] == ["session2-000"]
    assert info["utterances"] == 2


def test_an_utterance_in_two_shards_counts_once(
    small_cache: CacheFolder, utterance: Callable[..., Any], commit: Callable[..., None]
) -> None:
    before = cache_info(small_cache)
    commit(small_cache, "session3-000", [utterance("c", {"F": 9, "S": 9, "T": 9})])
    info = cache_info(small_cache)
    assert info["utterances"] == 3
    assert info["granularities"]["F"]["units"] == before["granularities"]["F"]["units"]
    assert info["bytes"] > before["bytes"]
