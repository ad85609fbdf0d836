import itertools

import pytest

from mer.cache import GRANULARITIES, CacheError, parse_granularities


@pytest.mark.parametrize("letters", [c for n in range(1, 6) for c in itertools.combinations("FPSWT", n)])
def test_any_order_gives_canonical_order(letters: tuple[str, ...]) -> None:
    assert parse_granularities("+".join(reversed(letters))) == letters
    assert parse_granularities(" + ".join(letters).lower()) == letters


def test_all_five_are_there_in_order() -> None:
    assert GRANULARITIES == ("F", "P", "S", "W", "T")


@pytest.mark.parametrize(("text", "part"), [("F+X", "'X'"), ("", "''"), ("F++S", "''"), ("FS", "'FS'")])
def test_an_unknown_one_is_named_with_the_valid_ones(text: str, part: str) -> None:
    with pytest.raises(CacheError, match=rf"{part} is not one of F \(frame\), P .* T \(wordpiece\)"):
        parse_granularities(text)


def test_one_given_twice_is_refused() -> None:
    with pytest.raises(CacheError, match=r"'F\+S\+F' names one twice"):
        parse_granularities("F+S+F")
