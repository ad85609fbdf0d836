import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus import remove_tags
from mer.corpus.aligner import AlignError, spoken_words

DICTIONARY = {"well", "uh-huh", "don't", "dr.", "'cause", "maybe", "ninety", "twenty", "two", "hello", "cafe"}


def words(text: str) -> list[str]:
    return [spoken.label for spoken in spoken_words(text, DICTIONARY.__contains__)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Well, DON'T!", ["well", "don't"]),
        ("I don\u2019t...", ["i", "don't"]),
        ("uh-huh twenty-two", ["uh-huh", "twenty", "two"]),
        ("Maybe- maybe--well", ["maybe", "maybe", "well"]),
        ("Dr. Well.", ["dr.", "well"]),
        ("'cause 'hello'", ["'cause", "hello"]),
        ("Café naïve", ["cafe", "naive"]),
        ("a & b 5% c@d", ["a", "and", "b", "five", "percent", "c", "at", "d"]),
        ("2,345 1984", "two thousand three hundred forty five nineteen eighty four".split()),
        ("007 22nd", "zero zero seven twenty second".split()),
        ("3.5 3.14", ["three", "point", "five", "three", "point", "one", "four"]),
        ("2,345th 1,000km", "two thousand three hundred forty fifth one thousand km".split()),
        ("2,000,000 2000000", "two million two zero zero zero zero zero zero".split()),
        ("1,984 1,2,3", "one thousand nine hundred eighty four one two three".split()),
        ("the 1990s", "the nineteen nineties".split()),
        ("wav2vec", ["wav", "two", "vec"]),
        ("-- ... '", []),
        ("", []),
        ("hello \t[LAUGHTER]  well", ["hello", "[LAUGHTER]", "well"]),
        ("[door slams [loud]] hello", ["[DOOR_SLAMS_LOUD]", "hello"]),
        ("[hello [COUGH] well", ["hello", "[COUGH]", "well"]),
        ("hello] [] well", ["hello", "well"]),
    ],
)
def test_a_transcript_is_read_as_a_speaker_would(text: str, said: list[str]) -> None:
    assert words(text) == said


def test_tags_are_told_from_words() -> None:
    assert [s.is_tag for s in spoken_words("hello [COUGH]", DICTIONARY.__contains__)] == [False, True]


@given(st.text(alphabet="ab [].'-1", max_size=30))
def test_without_tags_are_the_words_of_the_text_with_its_tags_removed(text: str) -> None:
    spoken = spoken_words(text, DICTIONARY.__contains__)
    assert [s.label for s in spoken if not s.is_tag] == words(remove_tags(text).replace("[", " ").replace("]", " "))


@pytest.mark.parametrize("text", ["hello привет", "你好", "αβγ"])
def test_other_scripts_are_refused_by_name(text: str) -> None:
    with pytest.raises(AlignError, match=rf"'{text.split()[-1]}' holds '.', which is no Latin letter"):
        words(text)
