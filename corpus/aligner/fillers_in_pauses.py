"""Where a filler is: in the pause at its place in the transcript, as far as something is heard there."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from mer.corpus.alignment import Segment

FRAME_MS = 10
LOUDER_DB = 10.0
"""Above the quiet tenth of an utterance, a frame is sound."""
SHORTEST_MS = 50


def fill_pauses(wave: Float32[np.ndarray, " samples"], words: Sequence[Segment], tags: Sequence[Sequence[str]]) -> list[Segment]:
    """The fillers of an utterance in time order.

    Pocketsphinx passes over its own filler models when it aligns, so they are found by their place: those between two
    words share the stretch of the pause from its first to its last loud frame; without any, or with less than 50 ms,
    there is no telling and they are left out.

    Args:
        wave: 16 kHz.
        words: in time order.
        tags: the labels before each word, and after the last one: one list more than words.
    """
    loud = _loud_frames(wave)
    seconds_ms = len(wave) * 1000 // 16_000
    starts = [0, *(word.end_ms for word in words)]
    ends = [*(word.start_ms for word in words), seconds_ms]
    fillers: list[Segment] = []
    for start, end, labels in zip(starts, ends, tags, strict=True):
        first, last = -(-start // FRAME_MS), end // FRAME_MS
        heard = np.flatnonzero(loud[first:last]) + first
        if not labels or not len(heard):
            continue
        begin, stop = int(heard[0]) * FRAME_MS, (int(heard[-1]) + 1) * FRAME_MS
        if stop - begin < SHORTEST_MS * len(labels):
            continue
        edges = [begin + (stop - begin) * number // len(labels) for number in range(len(labels) + 1)]
        fillers += [Segment(label, edges[i], edges[i + 1]) for i, label in enumerate(labels)]
    return fillers


def _loud_frames(wave: Float32[np.ndarray, " samples"]) -> np.ndarray:
    length = 16 * FRAME_MS
    frames = wave[: len(wave) // length * length].reshape(-1, length).astype(np.float64)
    power = (frames**2).mean(axis=1) + 1e-12
    if not len(power):
        return np.zeros(0, dtype=bool)
    return np.asarray(power > np.quantile(power, 0.1) * 10 ** (LOUDER_DB / 10))
