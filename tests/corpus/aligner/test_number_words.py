import re

import pocketsphinx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus.aligner.number_words import number_words


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        ("0", "zero"),
        ("13", "thirteen"),
        ("40", "forty"),
        ("99", "ninety nine"),
        ("100", "one hundred"),
        ("105", "one hundred five"),
        ("1000", "one thousand"),
        ("2026", "two thousand twenty six"),
        ("1100", "eleven hundred"),
        ("1906", "nineteen oh six"),
        ("1999", "nineteen ninety nine"),
        ("120305", "one hundred twenty thousand three hundred five"),
        ("1000000", "one zero zero zero zero zero zero"),
        ("05", "zero five"),
        ("00", "zero zero"),
    ],
)
def test_numbers_are_said_as_americans_say_them(digits: str, said: str) -> None:
    assert number_words(digits) == said.split()


@pytest.mark.parametrize(
    ("digits", "ending", "said"),
    [
        ("1", "st", "first"),
        ("12", "th", "twelfth"),
        ("20", "th", "twentieth"),
        ("104", "th", "one hundred fourth"),
        ("1984", "th", "one thousand nine hundred eighty fourth"),
        ("1000002", "nd", "one zero zero zero zero zero second"),
        ("1990", "s", "nineteen nineties"),
        ("20", "s", "twenties"),
        ("747", "s", "seven hundred forty sevens"),
    ],
)
def test_endings_are_said_with_the_last_word(digits: str, ending: str, said: str) -> None:
    assert number_words(digits, ending=ending) == said.split()


@pytest.mark.parametrize(
    ("digits", "said"), [("1984", "one thousand nine hundred eighty four"), ("2000000", "two million"), ("1" * 16, "one " * 16)]
)
def test_commas_make_it_a_count(digits: str, said: str) -> None:
    assert number_words(digits, is_grouped=True) == said.split()


DICTIONARY = pocketsphinx.Decoder(lm=None, loglevel="FATAL")


@given(st.text("0123456789", min_size=1, max_size=40), st.sampled_from(["", "st", "th"]), st.booleans())
def test_the_dictionary_has_every_word_of_every_number(digits: str, ending: str, is_grouped: bool) -> None:
    words = number_words(digits, ending=ending, is_grouped=is_grouped)
    assert all(re.fullmatch("[a-z]+", word) for word in words)
    assert {word for word in words if not DICTIONARY.lookup_word(word)} <= {"zeroth", "millionth", "trillionth"}
