"""Dropout draws that are computed from where a value stands: nothing is stored, and runs share no state."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import torch
from jaxtyping import Bool, Int32, Int64
from torch import Tensor

MASK, GOLDEN = 0xFFFFFFFF, 0x9E3779B9
"""32 bits, and 2^32 divided by the golden ratio."""
MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
"""Constants of `mixed`, found by search for least bias (Wellons 2018, "Prospecting for hash functions", lowbias32)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """The draws of one step of a stack; each call of dropout in it takes the next stream."""

    keys: Int32[Tensor, "runs two"]
    """Two words per run that depend on the run and on how many steps it has made."""
    _calls: "count[int]" = field(default_factory=count)

    def next(self) -> int:
        """Number of the next call."""
        return next(self._calls)


def step_keys(seeds: Int64[np.ndarray, " runs"], steps: Int64[np.ndarray, " runs"]) -> Int64[np.ndarray, "runs two"]:
    """Two words of 32 bits per run: SplitMix64 of its seed after so many steps (Steele et al. 2014, figure 11)."""
    with np.errstate(over="ignore"):
        word = seeds.astype(np.uint64) + steps.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        word ^= word >> np.uint64(31)
    return np.stack([word >> np.uint64(32), word & np.uint64(MASK)], 1).astype(np.uint32).view(np.int32).astype(np.int64)


def kept(draws: Draws, call: int, rows: Sequence[int], dim: int, dropped: int) -> Bool[Tensor, "rows dim"]:
    """Which values stay, as the kernels decide it, in PyTorch's operations.

    Args:
        draws: of the step.
        call: number of the call.
        rows: of each run.
        dim: values of a row.
        dropped: how many of 2^16 equally frequent numbers mean zero.
    """
    keep = []
    for run, size in enumerate(rows):
        place = torch.arange(size * dim, device=draws.keys.device)
        first, second = (draws.keys[run, word].long() & MASK for word in range(2))
        word = _mixed(_mixed(place ^ first) + second + call * GOLDEN & MASK)
        keep.append((word >> 16 >= dropped).view(size, dim))
    return torch.cat(keep)


def _mixed(word: Int64[Tensor, " values"]) -> Int64[Tensor, " values"]:
    word = (word ^ word >> 16) * MULTIPLIERS[0] & MASK
    word = (word ^ word >> 15) * MULTIPLIERS[1] & MASK
    return word ^ word >> 16
