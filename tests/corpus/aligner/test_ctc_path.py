"""Viterbi's path against every path there is, in float64."""

from itertools import groupby, pairwise, product

import numpy as np
import pytest

from mer.corpus.aligner import AlignError
from mer.corpus.aligner.ctc_path import BLANK, best_path

SYMBOLS = 4
"""The blank is 0."""


def random_log_probs(frames: int, seed: int) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(scale=2.0, size=(frames, SYMBOLS))
    found: np.ndarray = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return found


def spelled(path: tuple[int, ...]) -> list[int]:
    """CTC's rule: neighbours that are the same are one, then blanks go."""
    return [symbol for symbol, _ in groupby(path) if symbol]


@pytest.mark.parametrize("text", [[1], [1, 2], [1, 1], [3, 3, 3], [1, 2, 2, 1], [2, 1, 1, 3]])
@pytest.mark.parametrize("frames", [1, 3, 5, 6])
def test_no_path_that_spells_the_text_is_more_probable(text: list[int], frames: int) -> None:
    needed = len(text) + sum(one == other for one, other in pairwise(text))
    for seed in range(3):
        log_probs = random_log_probs(frames, seed)
        totals = {
            path: sum(log_probs[frame, symbol] for frame, symbol in enumerate(path))
            for path in product(range(SYMBOLS), repeat=frames)
            if spelled(path) == text
        }
        if frames < needed:
            assert not totals
            with pytest.raises(AlignError, match=f"needs {needed} frames of the recogniser and the speech has {frames}"):
                best_path(log_probs, text, 0)
            continue
        places, total = best_path(log_probs, text, 0)
        path = tuple(0 if place == BLANK else text[place] for place in places)
        assert total == pytest.approx(max(totals.values()), abs=1e-12)
        assert totals[path] == pytest.approx(total, abs=1e-12)


def test_each_symbol_of_the_text_has_frames_in_its_order() -> None:
    text = [1, 1, 2, 3, 3]
    places, _ = best_path(random_log_probs(40, 9), text, 0)
    own = [int(place) for place, _ in groupby(places) if place != BLANK]
    assert own == [0, 1, 2, 3, 4]
    first, second = np.flatnonzero(places == 0), np.flatnonzero(places == 1)
    assert BLANK in places[first[-1] : second[0]]


def test_the_blank_may_be_any_symbol() -> None:
    log_probs = random_log_probs(9, 4)
    one = best_path(log_probs, [1, 2, 2], 0)
    other = best_path(np.roll(log_probs, -1, axis=1), [0, 1, 1], 3)
    assert one[1] == pytest.approx(other[1])
    assert one[0].tolist() == other[0].tolist()


def test_what_no_frame_can_be_is_never_passed_through() -> None:
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array([[0.1, 0.9, 0.0], [0.1, 0.0, 0.9], [0.1, 0.9, 0.0]]))
    assert best_path(log_probs, [1, 2, 1], 0)[0].tolist() == [0, 1, 2]
