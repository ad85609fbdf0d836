"""The checks of array types that every test runs under."""

import subprocess
import sys

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


def test_what_all_tests_import_leaves_pytorch_alone() -> None:
    """How many threads it takes is read when it is imported, and `conftest.py` says it after its imports."""
    code = "import sys; import mer.tests.array_types, mer.tests.loaded_weights; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_next_test_is_checked_again() -> None:
    assert not jaxtyping.config.jaxtyping_disable
