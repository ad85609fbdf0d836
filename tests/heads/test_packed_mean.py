import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.heads.stacked.packed_mean import packed_mean


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), hidden=st.integers(1, 5), seed=st.integers(0, 99))
def test_it_is_the_mean_of_each_utterances_units(lengths: list[int], hidden: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((sum(lengths), hidden))
    found = packed_mean(torch.from_numpy(values), torch.tensor(lengths))
    ends = np.cumsum(lengths)
    expected = [values[end - length : end].sum(0) / length for end, length in zip(ends, lengths, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_gradients_are_those_of_the_mean() -> None:
    values = torch.randn(8, 3, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([1, 5, 2])
    assert torch.autograd.gradcheck(lambda given: packed_mean(given, lengths), (values,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_is_kept_and_other_utterances_do_not_matter(dtype: torch.dtype) -> None:
    values = torch.randn(7, 4, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
    alone = packed_mean(values[2:5], torch.tensor([3]))
    poisoned = values.detach().clone()
    poisoned[:2], poisoned[5:] = torch.nan, torch.inf
    among = packed_mean(poisoned, torch.tensor([2, 3, 2]))
    assert among.dtype == dtype
    assert torch.equal(among[1], alone[0])
    torch.autograd.backward(alone.sum())
    assert values.grad is not None
    assert values.grad.dtype == dtype
    torch.testing.assert_close(values.grad[2:5], torch.full((3, 4), 1 / 3, dtype=dtype))
