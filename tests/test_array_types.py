"""The checks of array types that every test runs under."""

import jaxtyping
import pytest
import torch

from mer.heads.stacked.packed_mean import packed_mean
from mer.tests.array_types import CHECKS_OF_A_TEST


def test_a_wrong_shape_is_refused_until_a_test_has_had_its_checks() -> None:
    units, lengths = torch.ones(5, 3), torch.tensor([2, 3])
    with pytest.raises(jaxtyping.TypeCheckError, match="units hidden"):
        packed_mean(units[None], lengths)
    for _ in range(CHECKS_OF_A_TEST):
        packed_mean(units, lengths)
    assert jaxtyping.config.jaxtyping_disable


def test_the_next_test_is_checked_again() -> None:
    assert not jaxtyping.config.jaxtyping_disable
