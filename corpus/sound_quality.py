"""Recordings that hold sound nobody can hear an emotion in: found by their samples, named by extraction, doctor and predict."""

import numpy as np
from numpy.typing import NDArray

SILENT = 1e-4
"""Peak of audio that is taken for silence: -80 dB of full scale, three steps of 16 bits."""
CANCELLED = 0.1
"""What of the channels' level their average must keep: 1/sqrt(2) of two that have nothing to do with each other."""
FLAT_TOP = 0.001
"""Share of samples on flat tops, three and more in a row at the peak, from which a recording counts as clipped."""
QUIETEST_CLIP = 0.3
"""Peaks below are not looked at: few bits make flat tops there of their own."""
STEP = 2.0**-15
"""Samples this close to the peak are at it: one step of 16 bits."""
LOWEST_RATE = 4_000
"""Hz; below, hardly a vowel is left."""
LONGEST = 3_600.0
"""Seconds; an utterance is not longer."""

SILENCE = "silence"
CONSTANT = "constant"
OPPOSITE = "opposite phase"
CLIPPED = "clipped"
LOW_RATE = "low rate"
ODD_SOUNDS: dict[str, str] = {
    SILENCE: f"silence (nothing above {20 * np.log10(SILENT):.0f} dB of full scale)",
    CONSTANT: "a constant level without sound",
    OPPOSITE: "channels of opposite phase, which cancel each other in the average of all that is read",
    CLIPPED: f"clipped (more than {FLAT_TOP:.1%} of the samples on flat tops)",
    LOW_RATE: f"sampled at less than {LOWEST_RATE:,} Hz: most of speech is not in it",
}
"""What each kind is called, in words that can be counted."""


def odd_sounds(samples: NDArray[np.float32], rate: int) -> tuple[str, ...]:
    """The kinds that a recording is of; none for an ordinary one.

    Args:
        samples: frames x channels as decoded, full scale = 1.
        rate: Hz, of the file.
    """
    level = _loudest(samples)
    found = [SILENCE] if level < SILENT else []
    if level >= SILENT:
        mean = samples.mean(axis=0, dtype=np.float64)
        moving = samples - mean.astype(np.float32)
        if _loudest(moving) < SILENT:
            found.append(CONSTANT)
        elif samples.shape[1] > 1 and _rms(moving.mean(axis=1)) < CANCELLED * _rms(moving):
            found.append(OPPOSITE)
        if CONSTANT not in found and any(_on_flat_tops(channel) > FLAT_TOP * len(channel) for channel in samples.T):
            found.append(CLIPPED)
    return (*found, *([LOW_RATE] if rate < LOWEST_RATE else ()))


def _loudest(samples: NDArray[np.float32]) -> float:
    return max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))


def _rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _on_flat_tops(channel: NDArray[np.float32]) -> int:
    """Samples in runs of three and more at the peak, above and below."""
    count = 0
    for side in (channel, -channel):
        peak = float(side.max(initial=0.0))
        if peak >= QUIETEST_CLIP:
            top = side >= min(peak, 1.0) - STEP
            edges = np.flatnonzero(np.diff(top, prepend=False, append=False))
            runs = edges[1::2] - edges[::2]
            count += int(runs[runs >= 3].sum())
    return count
