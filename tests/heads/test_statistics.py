from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.heads import HeadError, training_statistics
from mer.heads.features.features import PackedFeatures
from mer.heads.features.statistics import membership_of


def packed_of(make_cache: Callable[..., Any], *, loc: float = 0.0, dtype: Any = np.float16) -> Any:
    packed = make_cache(each=8).packed("F")
    packed.arrays = [(array.astype(np.float64) + loc).astype(dtype) for array in packed.arrays]
    return packed


@settings(max_examples=20, deadline=None)
@given(runs=st.integers(1, 4), seed=st.integers(0, 999))
def test_each_runs_statistics_are_those_of_its_own_units(runs: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = [(random.standard_normal((random.integers(1, 70), 2, 3)) * 3 + 5).astype(np.float16) for _ in range(6)]
    membership = random.random((runs, 6)) < 0.5
    membership[:, 2] = True
    found = training_statistics(_Arrays(arrays), membership)
    for run in range(runs):
        units = np.concatenate([arrays[row] for row in np.flatnonzero(membership[run])]).astype(np.float64)
        std = units.std(0)
        std[std <= 1e-6 * np.maximum(1, np.abs(units.mean(0)))] = 1
        np.testing.assert_allclose(found[run].mean.numpy(), units.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found[run].std.numpy(), std, rtol=1e-6)


class _Arrays:
    def __init__(self, arrays: list[Any]) -> None:
        self.arrays = arrays
        self.lengths = np.array([len(array) for array in arrays])
        self.nbytes = sum(array.nbytes for array in arrays)
        self.layers, self.dim = arrays[0].shape[1:]

    def views(self, rows: Any) -> list[Any]:
        return [self.arrays[row] for row in rows]

    def release(self, rows: Any) -> None:
        pass

    def prefetch(self, rows: Any) -> None:
        pass


def test_a_large_mean_does_not_cancel() -> None:
    random = np.random.default_rng(0)
    arrays = [(1e5 + random.standard_normal((40, 1, 4))).astype(np.float32) for _ in range(20)]
    (found,) = training_statistics(_Arrays(arrays), np.ones((1, 20), dtype=np.bool_))
    units = np.concatenate(arrays).astype(np.float64)
    np.testing.assert_allclose(found.std.numpy(), units.std(0), rtol=1e-6)


def test_a_run_does_not_depend_on_the_others_in_any_bit(make_cache: Callable[..., Any]) -> None:
    packed = packed_of(make_cache)
    membership = np.random.default_rng(1).random((5, 24)) < 0.6
    together = training_statistics(packed, membership)
    for run in range(5):
        (alone,) = training_statistics(packed, membership[run : run + 1])
        assert (alone.mean == together[run].mean).all()
        assert (alone.std == together[run].std).all()


def test_other_utterances_are_never_read(make_cache: Callable[..., Any]) -> None:
    packed = packed_of(make_cache)
    training_statistics(packed, membership_of([np.array([3, 5]), np.array([5, 9])], 24), release=True)
    assert packed.viewed == packed.released == [3, 5, 9]


def test_a_constant_dimension_is_centred_and_not_scaled(make_cache: Callable[..., Any]) -> None:
    packed = packed_of(make_cache)
    for array in packed.arrays:
        array[:, 0, 1] = 7
    (found,) = training_statistics(packed, np.ones((1, 24), dtype=np.bool_))
    assert found.mean[0, 1] == 7
    assert found.std[0, 1] == 1
    assert (found.std[1] != 1).all()


def test_progress_counts_utterances(make_cache: Callable[..., Any]) -> None:
    seen: list[tuple[int, int]] = []
    rows = membership_of([np.array([0, 4])], 24)
    training_statistics(packed_of(make_cache), rows, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_a_run_without_members_and_a_wrong_width_are_refused(make_cache: Callable[..., Any]) -> None:
    packed = packed_of(make_cache)
    assert isinstance(packed, PackedFeatures)
    with pytest.raises(HeadError, match="run 1 has no training utterances"):
        training_statistics(packed, membership_of([np.array([0]), np.array([], dtype=np.int64)], 24))
    with pytest.raises(HeadError, match="membership has 3 utterances, the features have 24"):
        training_statistics(packed, np.ones((1, 3), dtype=np.bool_))
