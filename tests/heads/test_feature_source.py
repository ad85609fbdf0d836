from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mer.heads import FeatureSource, HeadError
from mer.heads.feature_source import check_held, open_sources

CPU = torch.device("cpu")


def test_a_batch_on_a_cpu_is_the_cache_itself(make_cache: Callable[..., Any]) -> None:
    packed = make_cache().packed("F")
    batch = FeatureSource(packed, device=CPU).batch([5, 2])
    assert [piece.data_ptr() for piece in batch.units] == [packed.arrays[row].ctypes.data for row in (5, 2)]
    assert batch.lengths.tolist() == [len(packed.arrays[5]), len(packed.arrays[2])]
    assert batch.units[0].dtype == torch.float16


def test_a_resident_copy_gives_the_same_units_in_one_piece(make_cache: Callable[..., Any]) -> None:
    packed = make_cache().packed("F")
    source = FeatureSource(packed, device=CPU, resident=True, stream=True)
    assert packed.released == list(range(48))
    batch = source.batch([5, 2, 47])
    assert len(batch.units) == 1
    np.testing.assert_array_equal(batch.units[0], np.concatenate([packed.arrays[row] for row in (5, 2, 47)]))
    source.done([5])
    assert packed.released == list(range(48))


@pytest.mark.parametrize(("ram_gib", "released"), [(None, []), (1.0, []), (1e-6, [1, 2])])
def test_pages_are_let_go_only_beyond_the_memory_limit(
    make_cache: Callable[..., Any], ram_gib: float | None, released: list[int]
) -> None:
    cache = make_cache()
    sources, _, sentence = open_sources(cache, ["F"], range(48), device=CPU, ram_gib=ram_gib)
    sources["F"].done([1, 2])
    assert cache.opened["F"].released == released
    assert sentence == f"features {'streamed' if released else 'mapped'} from disk (GiB: F 0.00)"


def test_rows_count_the_chosen_utterances(make_cache: Callable[..., Any]) -> None:
    cache = make_cache()
    sources, _, _ = open_sources(cache, ["T"], [9, 30], device=CPU, ram_gib=None)
    np.testing.assert_array_equal(sources["T"].batch([1]).units[0], cache.units["T"][30])


def test_a_granularity_that_is_missing_is_named_with_the_cure(make_cache: Callable[..., Any]) -> None:
    with pytest.raises(HeadError, match=r"the cache holds F\+S\+T, not P\+W: `mer extract --granularity F\+S\+T\+P\+W`"):
        check_held(make_cache(), ["F", "P", "W"])


def test_an_utterance_without_units_is_named(make_cache: Callable[..., Any]) -> None:
    cache = make_cache()
    cache.units["F"][7] = cache.units["F"][7][:0]
    with pytest.raises(HeadError, match="1 utterances have no unit of granularity F, first 'utterance-007'"):
        open_sources(cache, ["F"], range(48), device=CPU, ram_gib=None)
