"""From transcripts to symbols, and from the frames of symbols to the times of words."""

import numpy as np
import pytest

from mer.corpus import Segment
from mer.corpus.aligner import AlignError
from mer.corpus.aligner.spelled_words import Vocabulary, spell
from mer.corpus.aligner.timed_words import FrameTimes, TimedWords, time_words, word_segments
from mer.extract import frame_ranges

LETTERS = "abcdefghijklmnopqrstuvwxyz'äÖ"
VOCABULARY = Vocabulary(symbols={letter: number for number, letter in enumerate(LETTERS, 2)}, blank=0, delimiter=1)
OF_WAV2VEC2 = FrameTimes(first=200.0, stride=320.0, sample_rate=16_000)


def words_of(text: str) -> list[str]:
    return [one.label for one in spell(text, VOCABULARY).spoken]


def letters_of(text: str) -> list[str]:
    names = {number: letter for letter, number in VOCABULARY.symbols.items()}
    return ["".join(names[symbol] for symbol in letters) for letters in spell(text, VOCABULARY).letters]


@pytest.mark.parametrize(
    ("text", "words", "letters"),
    [
        ("Hello, World!", ["hello", "world"], ["hello", "world"]),
        ("don\u2019t", ["don't"], ["don't"]),
        ("Öl ÄB", ["öl", "äb"], ["Öl", "äb"]),
        ("O\u0308l", ["öl"], ["Öl"]),
        ("twenty-one and/or", ["twenty", "one", "and", "or"], ["twenty", "one", "and", "or"]),
        ("well \u2014 no ... \u2026", ["well", "no"], ["well", "no"]),
        ("so [breath out] what", ["so", "[BREATH_OUT]", "what"], ["so", "what"]),
        ("42 cats", ["42", "cats"], ["", "cats"]),
    ],
)
def test_a_transcript_is_spelled_as_the_vocabulary_has_it(text: str, words: list[str], letters: list[str]) -> None:
    assert (words_of(text), letters_of(text)) == (words, letters)


def test_what_the_vocabulary_lacks_is_counted_and_punctuation_is_silent() -> None:
    found = spell("Café, naïve café & 42! 42?", VOCABULARY)
    assert found.lacking == {"é": 2, "ï": 1, "&": 1, "4": 2, "2": 2}
    assert found.unknown == ("&", "42")


def test_a_hyphen_that_the_vocabulary_has_stays_in_the_word() -> None:
    own = Vocabulary(symbols=dict(VOCABULARY.symbols) | {"-": 40}, blank=0, delimiter=1)
    assert [one.label for one in spell("twenty-one", own).spoken] == ["twenty-one"]


def sure(symbols: list[int], count: int = 42) -> np.ndarray:
    """Log-probabilities of frames that are nearly sure of a symbol each."""
    found = np.full((len(symbols), count), 0.1 / (count - 1))
    found[np.arange(len(symbols)), symbols] = 0.9
    logs: np.ndarray = np.log(found)
    return logs


def test_words_have_the_frames_of_their_letters_and_one_on_either_side() -> None:
    h, i, a, blank, apart = *(VOCABULARY.symbols[letter] for letter in "hia"), 0, 1
    frames = [blank, h, h, blank, i, blank, blank, apart, blank, a, a, blank]
    timed = time_words(sure(frames), spell("hi a", VOCABULARY), VOCABULARY)
    assert timed.frames == ((0, 6), (8, 12))
    assert timed.lost == pytest.approx(0.0, abs=1e-12)


def test_words_share_no_frame_between_them() -> None:
    a, blank, apart = VOCABULARY.symbols["a"], 0, 1
    timed = time_words(sure([a, apart, a, blank, apart, a]), spell("a a a", VOCABULARY), VOCABULARY)
    assert timed.frames == ((0, 2), (2, 4), (4, 6))


def test_a_word_without_symbols_takes_what_is_heard_between_its_neighbours() -> None:
    a, x, y, blank, apart = *(VOCABULARY.symbols[letter] for letter in "axy"), 0, 1
    frames = [blank, a, blank, apart, blank, x, y, x, blank, apart, blank, a, blank]
    timed = time_words(sure(frames), spell("a 42 a", VOCABULARY), VOCABULARY)
    assert timed.frames == ((0, 3), (4, 9), (10, 13))


def test_another_text_is_far_less_probable_than_what_is_heard() -> None:
    a, b, blank, apart = *(VOCABULARY.symbols[letter] for letter in "ab"), 0, 1
    frames = [blank, a, b, a, blank, apart, b, a, blank]
    own, other = (time_words(sure(frames), spell(text, VOCABULARY), VOCABULARY).lost for text in ("aba ba", "zz q"))
    assert own < 1e-9
    assert other == pytest.approx(np.log(0.9 / (0.1 / 41)) * 8 / 4, rel=0.5)


def test_a_word_has_the_frames_that_extraction_averages_over_it() -> None:
    timed = TimedWords(frames=((0, 3), (3, 4), (7, 10)), lost=0.0)
    segments = word_segments(["a", "b", "c"], timed, OF_WAV2VEC2, 320 * 10 + 80)
    spans = np.array([[each.start_ms, each.end_ms] for each in segments])
    found = frame_ranges(spans, 10, sample_rate=16_000, stride=320, length=400)
    assert found.tolist() == [[0, 3], [3, 4], [7, 10]]
    assert segments[1] == Segment("b", 62, 82)  # (200 + 2.5 x 320) / 16 ms and 20 ms more


def test_a_word_beyond_the_end_of_the_speech_is_refused() -> None:
    with pytest.raises(AlignError, match="'b' would be said after the end of the speech"):
        word_segments(["a", "b"], TimedWords(frames=((0, 1), (9, 10)), lost=0.0), OF_WAV2VEC2, 2000)
