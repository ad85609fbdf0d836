import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pocketsphinx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus.aligner import AlignError, say_unknown_word, unknown_words
from mer.corpus.arpabet import PHONES
from mer.corpus.synthetic.espeak import Delivery, open_synthesizer

Phones = tuple[str, ...]


def nothing(word: str) -> None:
    """A dictionary without words."""


@pytest.fixture(scope="module")
def dictionary() -> dict[str, Phones]:
    """The first pronunciation of each word of pocketsphinx's dictionary."""
    path = next(Path(pocketsphinx.get_model_path()).rglob("cmudict*.dict"))
    lines = (line.split() for line in path.read_text().splitlines())
    return {word: tuple(phones) for word, *phones in lines if re.fullmatch("[a-z']*[a-z][a-z']*", word)}


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("blick", "B L IH K"),
        ("nighte", "N AY T"),
        ("quoth", "K W OW TH"),
        ("knorly", "N AO R L IY"),
        ("waldo's", "W AO L D OW Z"),
        ("dvd", "D IY V IY D IY"),
        ("x", "EH K S"),
        ("lion", "L AY AH N"),
        ("luten", "L UW T AH N"),
        ("rock''n", "R AA K N"),
        ("le", "L AH"),
    ],
)
def test_words_are_said_as_espeak_says_them(word: str, phones: str) -> None:
    assert say_unknown_word(word, nothing) == tuple(phones.split())


@pytest.mark.parametrize(
    ("word", "phones"),
    [("mmhmm", "M HH M"), ("mmm", "M"), ("shhh", "SH"), ("psst", "P S T"), ("grrr", "G R"), ("pfft", "P F T"), ("zzz", "Z")],
)
def test_what_is_hummed_or_hissed_is_not_spelled(word: str, phones: str) -> None:
    assert say_unknown_word(word, nothing) == tuple(phones.split())


@pytest.mark.parametrize(
    ("word", "known"),
    [("nooo", "no"), ("sooo", "so"), ("goood", "good"), ("freeeee", "free"), ("whaaat", "what"), ("pleeease", "please")],
)
def test_a_word_that_is_drawn_out_is_said_as_the_word(word: str, known: str, dictionary: dict[str, Phones]) -> None:
    assert say_unknown_word(word, dictionary.get) == dictionary[known]


def test_a_beginning_that_the_dictionary_has_is_said_as_it_has_it() -> None:
    # espeak-ng says N AY T: where it says the beginning otherwise than alone, its own way stays.
    assert say_unknown_word("nightish", {"night": ("N", "EY", "T")}.get) == ("N", "EY", "T", "IH", "SH")
    assert say_unknown_word("cares", {"care": ("X",), "car": ("Y",)}.get) == ("X", "Z")
    assert say_unknown_word("photography", {"photo": ("X",)}.get) == say_unknown_word("photography", nothing)


def test_a_tenth_of_the_phones_of_hidden_words_is_wrong(dictionary: dict[str, Phones]) -> None:
    # docs/alignment.md has the figures: letter rules of our own with known stems had 15 % wrong.
    words = random.Random(1).sample(sorted(dictionary), 1000)

    def share_wrong(say: Callable[[str], Phones]) -> float:
        return sum(edits(say(word), dictionary[word]) for word in words) / sum(len(dictionary[word]) for word in words)

    alone = share_wrong(lambda word: say_unknown_word(word, nothing))
    hidden = share_wrong(lambda word: say_unknown_word(word, but(dictionary, word)))
    assert hidden < alone < 0.115
    assert hidden < 0.1


def but(dictionary: dict[str, Phones], hidden: str) -> Callable[[str], Phones | None]:
    return lambda word: None if word == hidden else dictionary.get(word)


def edits(ours: Phones, theirs: Phones) -> int:
    """Levenshtein's distance, by its recurrence over the whole table."""
    table = np.zeros((len(ours) + 1, len(theirs) + 1), int)
    table[:, 0], table[0] = np.arange(len(ours) + 1), np.arange(len(theirs) + 1)
    for i, own in enumerate(ours, 1):
        for j, other in enumerate(theirs, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (own != other))
    return int(table[-1, -1])


@given(st.from_regex(r"[a-z']{0,8}[a-z][a-z']{0,8}", fullmatch=True))
def test_every_word_is_said_with_known_phones_and_the_same_again(word: str) -> None:
    phones = say_unknown_word(word, nothing)
    assert phones
    assert set(phones) <= PHONES
    assert say_unknown_word(word, nothing) == phones


def test_threads_get_what_one_alone_gets(dictionary: dict[str, Phones]) -> None:
    words = random.Random(2).sample(sorted(dictionary), 200) * 4
    alone = [say_unknown_word(word, nothing) for word in words]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda word: say_unknown_word(word, nothing), words)) == alone


def test_a_synthesiser_that_speaks_meanwhile_is_not_disturbed() -> None:
    def speak(*, is_asked: bool) -> list[np.ndarray]:
        with open_synthesizer(3) as synthesizer:
            found = []
            for text in ("How dare you!", "I miss Anna so much."):
                if is_asked:
                    assert say_unknown_word("unistim", nothing)
                found.append(synthesizer.speak(text, "en-us+f1", Delivery(rate=220)).samples)
        return found

    before = say_unknown_word("unistim", nothing)
    for quiet, asked in zip(speak(is_asked=False), speak(is_asked=True), strict=True):
        np.testing.assert_array_equal(quiet, asked)
    assert say_unknown_word("unistim", nothing) == before


def test_a_sound_without_a_phone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown_words, "SPHINX", {})
    with pytest.raises(AlignError, match=r"the word 'blick' with a sound 'b' that the aligner lacks"):
        say_unknown_word("blick", nothing)
    monkeypatch.setattr(unknown_words, "_phonemes", lambda word: [])
    with pytest.raises(AlignError, match=r"espeak-ng says nothing for the word 'blick'"):
        say_unknown_word("blick", nothing)


def test_nothing_of_a_word_is_said_before_the_next_one() -> None:
    before = unknown_words._phonemes("ultraviolet")
    assert unknown_words._phonemes("one, two") == ["w", "V", "n", "t", "u:"]  # two clauses to espeak-ng
    assert unknown_words._phonemes("ultraviolet") == before
