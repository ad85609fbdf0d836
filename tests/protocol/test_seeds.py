import numpy as np
import pytest

from mer.protocol import integer_seed, numpy_generator


def test_the_same_purpose_gives_the_same_numbers_and_another_gives_others() -> None:
    first = numpy_generator(3, "order", 1).random(4)
    np.testing.assert_array_equal(first, numpy_generator(3, "order", 1).random(4))
    for other in (
        numpy_generator(4, "order", 1),
        numpy_generator(3, "order", 2),
        numpy_generator(3, "order", "1"),
    ):
        assert not np.array_equal(first, other.random(4))


def test_the_global_generator_is_left_alone() -> None:
    before = repr(np.random.get_state())  # noqa: NPY002
    numpy_generator(0, "validation").permutation(10)
    assert repr(np.random.get_state()) == before  # noqa: NPY002


def test_an_integer_seed_fits_a_signed_integer_and_does_not_change_between_versions() -> None:
    assert integer_seed(0, "weights", "1") == 5138009367310270771
    assert all(0 <= integer_seed(seed, "x") < 2**63 for seed in range(50))


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more, got -1"):
        numpy_generator(-1)
