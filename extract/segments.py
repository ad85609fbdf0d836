"""From times to frames, and from frames to segment averages (Zhao 2022, section 2.1)."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mer.backends.device import device_of_the_rest

POOLING_VERSION = 1
"""Part of a cache's identity: raise it whenever a segment's frames or its average would change."""


def frame_ranges(
    spans_ms: Int64[np.ndarray, "segments 2"],
    frames: int,
    *,
    sample_rate: int,
    stride: int,
    length: int,
    offset: int = 0,
) -> Int64[np.ndarray, "segments 2"]:
    """Frames [s, e) of each segment: those whose centre lies in [start, end), at least one.

    Frame f covers samples [offset + stride f, offset + stride f + length). Everything is integer arithmetic, because times
    on a 10 ms grid times 50 frames a second come out one too low in floats for 73 of 3,000 times. Segments that share a
    boundary share no frame; one too short to hold a centre gets the next frame, one beyond the last frame the last.

    Args:
        spans_ms: Start and end in integer milliseconds.
        frames: Frames of the utterance, at least 1.
        sample_rate: Hz.
        stride: Samples between frames.
        length: Samples under a frame.
        offset: Where frame 0 begins, in samples.
    """
    # centre of f in [t, ...)  <=>  f >= (t rate / 1000 - offset - length / 2) / stride; over 2000 to stay in integers
    numerator = 2 * spans_ms * sample_rate - 1000 * (2 * offset + length)
    first = -(-numerator // (2000 * stride))
    start = np.clip(first[:, 0], 0, frames - 1)
    end = np.clip(np.maximum(first[:, 1], start + 1), 1, frames)
    return np.stack([start, end], axis=1)


def segment_means(
    states: Float[Tensor, "frames layers dim"], ranges: Int64[np.ndarray, "segments 2"]
) -> Float[Tensor, "segments layers dim"]:
    """Mean over the frames [s, e) of each segment, in float32 or better, all segments in one call.

    The paper's formula sums f = s..e and divides by e - s; read with an inclusive e it would be the mean times
    (n + 1) / n, so `e` is taken as exclusive and this is the true mean.

    Args:
        states: Frames of one utterance, or of a whole batch one after the other.
        ranges: Frame ranges into `states`, each with s < e; they may overlap, leave gaps and come in any order.

    Raises:
        ValueError: an empty range (its mean would silently be 0).
    """
    if not len(ranges):
        return states.new_zeros((0, *states.shape[1:]), dtype=_mean_dtype(states.dtype))
    counts = ranges[:, 1] - ranges[:, 0]
    if counts.min() < 1:
        raise ValueError(f"segment {int(counts.argmin())} has no frame: {ranges[counts.argmin()].tolist()}")
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
    within = np.arange(counts.sum()) - np.repeat(offsets, counts)
    indices = np.repeat(ranges[:, 0], counts) + within
    states = states.to(device_of_the_rest(states.device))
    means = torch.nn.functional.embedding_bag(
        torch.from_numpy(indices).to(states.device, non_blocking=True),
        states.to(_mean_dtype(states.dtype)).flatten(1),
        torch.from_numpy(offsets).to(states.device, non_blocking=True),
        mode="mean",
    )
    return means.reshape(-1, *states.shape[1:])


def joined_ranges(ranges: Sequence[Int64[np.ndarray, "_ 2"]], starts: Sequence[int]) -> Int64[np.ndarray, "all 2"]:
    """Ranges of several utterances as ranges into their frames laid end to end from `starts`."""
    return np.concatenate([own + start for own, start in zip(ranges, starts, strict=True)])


def _mean_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
