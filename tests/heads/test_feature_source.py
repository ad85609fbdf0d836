from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from mer.heads import FeatureSource, FeatureStore, HeadError, Statistics
from mer.heads.features.feature_store import check_held, layer_positions
from mer.heads.features.reads import Reads, SharedReads
from mer.heads.features.step import Step, plan_step

CPU = torch.device("cpu")


def step_of(*runs: Sequence[int]) -> Step:
    return plan_step([np.array(rows, dtype=np.int64) for rows in runs])


def units_of(reads: Reads, like: torch.Tensor) -> np.ndarray:
    """The units as they land in the output, run after run."""
    out = np.full((sum(reads.sizes), *like.shape), np.nan, dtype=np.float32)
    for block, uses in reads.blocks(like):
        for use in uses:
            out[use.place : use.place + use.end - use.start] = block[use.start : use.end].numpy()
    return out


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("layers", [None, (0, 2), (2,), (1, 0)])
def test_every_run_gets_its_utterances_in_its_own_order(
    make_cache: Callable[..., Any], resident: bool, layers: tuple[int, ...] | None
) -> None:
    packed = make_cache().packed("F")
    source = FeatureSource(packed, device=CPU, resident=resident, layers=layers)
    runs = ([5, 2, 47], [2], [47, 3, 5])
    reads = source.reads(step_of(*runs))
    chosen = slice(None) if layers is None else list(layers)
    expected = np.concatenate([packed.arrays[row][:, chosen] for rows in runs for row in rows])
    np.testing.assert_array_equal(units_of(reads, torch.zeros(expected.shape[1:])), expected.astype(np.float32))
    assert reads.lengths.tolist() == [len(packed.arrays[row]) for rows in runs for row in rows]
    assert reads.sizes == tuple(sum(len(packed.arrays[row]) for row in rows) for rows in runs)


def test_what_several_runs_want_is_viewed_once(make_cache: Callable[..., Any]) -> None:
    packed = make_cache().packed("F")
    reads = FeatureSource(packed, device=CPU).reads(step_of([5, 2, 47], [2, 47], [9]))
    assert isinstance(reads, SharedReads)
    assert packed.viewed == [2, 5, 9, 47]


def test_runs_that_go_through_the_corpus_in_different_orders_do_not_wait_for_each_other() -> None:
    ranks = [np.array([3, 2, 1, 0]), np.array([0, 1, 2, 3])]
    rows = [np.array([3, 1]), np.array([2, 1]), np.array([1, 3])]
    step = plan_step(rows, [0, 0, 1], ranks)
    assert step.order == ((3, ((0, 0),)), (2, ((1, 0),)), (1, ((0, 1), (1, 1))), (1, ((2, 0),)), (3, ((2, 1),)))
    assert step.distinct == [1, 2, 3]


def test_a_resident_copy_is_made_at_once_and_never_streamed(make_cache: Callable[..., Any]) -> None:
    packed = make_cache().packed("F")
    source = FeatureSource(packed, device=CPU, resident=True, stream=True)
    assert packed.released == list(range(48))
    source.prefetch(step_of([5]))
    source.done(step_of([5]))
    assert (packed.released, packed.prefetched) == (list(range(48)), [])


@pytest.mark.parametrize(("ram_gib", "streamed"), [(None, False), (1.0, False), (1e-6, True)])
def test_pages_are_asked_for_and_let_go_only_beyond_the_memory_limit(
    make_cache: Callable[..., Any], ram_gib: float | None, streamed: bool
) -> None:
    cache = make_cache()
    sources, _, sentence = FeatureStore(CPU, ram_gib=ram_gib).open(cache, ["F"], range(48))
    sources["F"].prefetch(step_of([2, 1], [2]))
    sources["F"].done(step_of([1, 3]))
    assert cache.opened["F"].prefetched == ([1, 2] if streamed else [])
    assert cache.opened["F"].released == ([1, 3] if streamed else [])
    assert sentence == f"features {'streamed' if streamed else 'mapped'} from disk (GiB: F 0.00)"


def test_rows_count_the_chosen_utterances(make_cache: Callable[..., Any]) -> None:
    cache = make_cache()
    sources, _, _ = FeatureStore(CPU).open(cache, ["T"], [9, 30])
    found = units_of(sources["T"].reads(step_of([1])), torch.zeros(3, 8))
    np.testing.assert_array_equal(found, cache.units["T"][30].astype(np.float32))


def test_a_store_opens_each_granularity_once_for_all_rows_of_a_table(make_cache: Callable[..., Any]) -> None:
    cache, store = make_cache(), FeatureStore(CPU)
    first, _, _ = store.open(cache, ["F", "T"], range(48))
    second, _, _ = store.open(cache, ["S", "F"], range(48))
    assert second["F"] is first["F"]
    assert store.open(cache, ["F"], range(40))[0]["F"] is not first["F"]


def test_statistics_of_a_training_part_are_computed_once(make_cache: Callable[..., Any]) -> None:
    cache, store = make_cache(), FeatureStore(CPU)
    store.open(cache, ["F"], range(48))
    asked: list[int] = []

    def compute(membership: np.ndarray) -> tuple[Statistics, ...]:
        asked.append(len(membership))
        return tuple(Statistics(mean=torch.zeros(1, 1), std=torch.ones(1, 1)) for _ in membership)

    parts = np.eye(3, 48, dtype=np.bool_)
    first = store.statistics("F", parts[:2], compute)
    again = store.statistics("F", parts[::-1], compute)
    assert asked == [2, 1]
    assert (again[2], again[1]) == first


def test_a_granularity_that_is_missing_is_named_with_the_cure(make_cache: Callable[..., Any]) -> None:
    with pytest.raises(HeadError, match=r"the cache holds F\+S\+T, not P\+W: `mer extract --granularity F\+P\+S\+W\+T`"):
        check_held(make_cache(), ["F", "P", "W"])


def test_a_layer_that_is_missing_is_named_with_what_there_is(make_cache: Callable[..., Any]) -> None:
    assert layer_positions(make_cache(), "F", (3, 1)) == (2, 0)
    with pytest.raises(HeadError, match="layers 0, 9 of F are not in the cache, which holds 1, 2, 3"):
        layer_positions(make_cache(), "F", (0, 1, 9))


def test_an_utterance_without_units_is_named(make_cache: Callable[..., Any]) -> None:
    cache = make_cache()
    cache.units["F"][7] = cache.units["F"][7][:0]
    with pytest.raises(HeadError, match="1 utterances have no unit of granularity F, first 'utterance-007'"):
        FeatureStore(CPU).open(cache, ["F"], range(48))
