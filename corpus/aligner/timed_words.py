"""From a path through a recogniser's frames to the times of words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from mer.corpus.aligner.align_error import AlignError
from mer.corpus.aligner.ctc_path import best_path
from mer.corpus.aligner.spelled_words import SpelledText, Vocabulary
from mer.corpus.alignment import Segment

REACH = 1
"""Frames that a word takes on either side of its letters: a recogniser is sure of a letter for a frame or two of it only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameTimes:
    """Where the frames of a recogniser lie."""

    first: float
    """Centre of frame 0, in samples."""
    stride: float
    """Samples from one centre to the next."""
    sample_rate: int
    """Hz."""

    def edge_ms(self, frame: int) -> int:
        """The time half way between a frame and the one before it, in milliseconds from the first sample.

        A unit of the frames [s, e) lies between the edges of s and e: the extraction, which takes the frames whose centre a unit
        holds, gives it the same ones.
        """
        return max(0, round((self.first + (frame - 0.5) * self.stride) * 1000 / self.sample_rate))


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedWords:
    """The words of a text in the frames of speech."""

    frames: tuple[tuple[int, int], ...]
    """First frame of each word, and the one after its last; words may touch, and share no frame."""
    lost: float
    """By how much the path is less probable than the best that spells any text: natural logarithm, for each symbol."""


def time_words(log_probs: Float64[np.ndarray, "frames symbols"], text: SpelledText, vocabulary: Vocabulary) -> TimedWords:
    """Find the words of a text in the frames of a recogniser.

    A word of which the vocabulary has no character is one symbol that any sound may be: in each frame it is as probable as the
    most probable symbol that is neither the blank nor what parts words. So it is found between its neighbours, in the same
    search.

    Args:
        log_probs: natural logarithm of each symbol's probability.
        text: with at least one word.
        vocabulary: what the symbols are.

    Raises:
        AlignError: fewer frames than the text needs.
    """
    anything = log_probs.shape[1]
    apart = [each for each in (vocabulary.blank, vocabulary.delimiter) if each is not None]
    sounds = np.delete(log_probs, apart, axis=1).max(1, keepdims=True)
    symbols: list[int] = []
    places: list[tuple[int, int]] = []
    for number, letters in enumerate(text.letters):
        if number and vocabulary.delimiter is not None:
            symbols.append(vocabulary.delimiter)
        places.append((len(symbols), len(symbols) + max(1, len(letters))))
        symbols += letters or (anything,)
    path, score = best_path(np.concatenate([log_probs, sounds], axis=1), symbols, vocabulary.blank)
    lost = (float(log_probs.max(1).sum()) - score) / len(symbols)
    return TimedWords(frames=tuple(_widened([_frames_of(path, *place) for place in places], len(path))), lost=lost)


def word_segments(labels: Sequence[str], timed: TimedWords, times: FrameTimes, samples: int) -> list[Segment]:
    """Words in milliseconds, none beyond the speech.

    Args:
        labels: one for each word.
        timed: their frames.
        times: where these lie.
        samples: of the speech.

    Raises:
        AlignError: a word lies beyond the end of the speech.
    """
    end_ms = samples * 1000 // times.sample_rate
    found = [
        Segment(label, min(times.edge_ms(first), end_ms), min(times.edge_ms(last), end_ms))
        for label, (first, last) in zip(labels, timed.frames, strict=True)
    ]
    if beyond := next((each.label for each in found if each.start_ms >= each.end_ms), None):
        raise AlignError(f"{beyond!r} would be said after the end of the speech: the text cannot be what is said here")
    return found


def _widened(words: Sequence[tuple[int, int]], frames: int) -> Iterator[tuple[int, int]]:
    """Words with their share of the frames between them: half of them each, at most `REACH`; the word before gets the odd one.

    Args:
        words: frames from the first letter of each to its last.
        frames: how many there are.
    """
    gaps = [start - end for (_, end), (start, _) in pairwise(words)]
    before = [min(REACH, words[0][0]), *(min(REACH, gap // 2) for gap in gaps)]
    behind = [*(min(REACH, gap - gap // 2) for gap in gaps), min(REACH, frames - words[-1][1])]
    for (start, end), earlier, later in zip(words, before, behind, strict=True):
        yield start - earlier, end + later


def _frames_of(path: Int64[np.ndarray, " frames"], first: int, end: int) -> tuple[int, int]:
    own = np.flatnonzero((path >= first) & (path < end))
    return int(own[0]), int(own[-1]) + 1
