import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus.aligner import letter_to_sound
from mer.corpus.arpabet import PHONES

KNOWN = {
    "walk": ("W", "AO", "K"),
    "want": ("W", "AA", "N", "T"),
    "rose": ("R", "OW", "Z"),
    "bake": ("B", "EY", "K"),
    "play": ("P", "L", "EY"),
    "air": ("EH", "R"),
    "port": ("P", "AO", "R", "T"),
}


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("blick", "B L IH K"),
        ("drome", "D R OW M"),
        ("flishing", "F L IH SH IH NG"),
        ("augie", "AO JH IY"),
        ("quoth", "K W AA TH"),
        ("phib", "F IH B"),
        ("knorly", "N AO R L IY"),
        ("mmhmm", "M HH M"),
        ("mmm", "M"),
        ("shh", "SH"),
        ("dvd", "D IY V IY D IY"),
        ("x", "EH K S"),
    ],
)
def test_letters_sound_by_rule(word: str, phones: str) -> None:
    assert letter_to_sound(word) == tuple(phones.split())


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("walk's", "W AO K S"),
        ("plays", "P L EY Z"),
        ("roses", "R OW Z IH Z"),
        ("walked", "W AO K T"),
        ("wanted", "W AA N T IH D"),
        ("played", "P L EY D"),
        ("baking", "B EY K IH NG"),
        ("walkin'", "W AO K IH N"),
        ("play'll", "P L EY AH L"),
        ("airport", "EH R P AO R T"),
    ],
)
def test_a_known_stem_keeps_its_sound_and_the_suffix_assimilates(word: str, phones: str) -> None:
    assert letter_to_sound(word, KNOWN.get) == tuple(phones.split())


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=20).filter(lambda word: word.strip("'")))
def test_every_word_is_said_with_known_phones(word: str) -> None:
    phones = letter_to_sound(word)
    assert phones
    assert set(phones) <= PHONES


def test_no_letters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\"'\": no letter to say"):
        letter_to_sound("'")
