"""The most probable path of a text through the frames of a CTC speech recogniser, by Viterbi's algorithm.

CTC (Graves et al., 2006, https://doi.org/10.1145/1143844.1143891) lets a frame hold a symbol or the blank. A path spells a
text if the text is left when neighbours that are the same are made one and blanks are dropped; so the same symbol twice
needs a blank between. With N symbols there are S = 2 N + 1 states, the symbols with a blank around each.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from mer.corpus.aligner.align_error import AlignError

BLANK = -1
"""What a path holds where no symbol is."""


def best_path(
    log_probs: Float64[np.ndarray, "frames symbols"], text: Sequence[int], blank: int
) -> tuple[Int64[np.ndarray, " frames"], float]:
    """The path of highest probability among all that spell a text: exact, frame by frame over all states at once.

    Args:
        log_probs: natural logarithm of each symbol's probability in each frame.
        text: symbols, at least one and none of them the blank.
        blank: the symbol that stands for none.

    Returns:
        For each frame the place in `text` of the symbol that it holds, or `BLANK`; and the path's log-probability. Of paths that
        are equally probable, the one that moves on latest.

    Raises:
        AlignError: fewer frames than the text needs.
    """
    symbols = np.asarray(text, dtype=np.int64)
    repeated = symbols[1:] == symbols[:-1]
    frames, needed = len(log_probs), len(symbols) + int(repeated.sum())
    if frames < needed:
        raise AlignError(
            f"the text needs {needed} frames of the recogniser and the speech has {frames}: the text cannot be what is said "
            "here, check that text and audio belong together"
        )
    states = np.full(2 * len(symbols) + 1, blank)
    states[1::2] = symbols
    may_skip = np.zeros(len(states), dtype=bool)  # from one symbol to the next, unless they are the same
    may_skip[3::2] = ~repeated
    heard = log_probs[:, states]
    score = np.full(len(states), -np.inf)
    score[:2] = heard[0, :2]
    steps = np.zeros((frames, len(states)), dtype=np.int8)  # by how many states the best way into each came forward
    ways = np.full((3, len(states)), -np.inf)
    for frame in range(1, frames):
        ways[0] = score
        ways[1, 1:] = score[:-1]
        ways[2, 2:] = np.where(may_skip[2:], score[:-2], -np.inf)
        steps[frame] = ways.argmax(0)
        score = ways.max(0) + heard[frame]
    state = len(states) - 1 if score[-1] > score[-2] else len(states) - 2
    total = float(score[state])
    path = np.empty(frames, dtype=np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = (state - 1) // 2 if state % 2 else BLANK
        state -= int(steps[frame, state])
    return path, total
