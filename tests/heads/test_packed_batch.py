import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.heads import PackedBatch
from mer.heads.packed_batch import segment_mean


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_the_mean_over_units_equals_equation_two(lengths: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((sum(lengths), 3))
    expected, start = [], 0
    for length in lengths:
        total = np.zeros(3)
        for unit in range(start, start + length):
            total += values[unit]
        expected.append(total / length)
        start += length
    found = segment_mean(torch.from_numpy(values), torch.tensor(lengths))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-14)


def test_the_total_counts_all_pieces() -> None:
    batch = PackedBatch(units=(torch.zeros(2, 1, 1), torch.zeros(3, 1, 1)), lengths=torch.tensor([2, 3]))
    assert batch.total == 5
