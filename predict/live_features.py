"""Features of new recordings in memory, in the shape in which heads read a cache."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray

from mer.heads import FeatureSource, Head, Statistics
from mer.heads.features.step import plan_step
from mer.heads.training.stacked_forward import stacked_logits

ROWS = 32
"""Recordings in a forward pass of the heads."""


class LiveUnits:
    """One granularity of a few recordings; what `mer.cache.PackedUnits` is for a cache."""

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Hold the arrays (units, layers, dim), one per recording."""
        self._arrays = list(arrays)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Units of each recording."""
        return np.array([len(array) for array in self._arrays], dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of all units."""
        return sum(array.nbytes for array in self._arrays)

    @property
    def layers(self) -> int:
        """Layers of each unit."""
        return int(self._arrays[0].shape[1])

    @property
    def dim(self) -> int:
        """Values per layer."""
        return int(self._arrays[0].shape[2])

    def views(self, rows: Sequence[int]) -> list[NDArray[Any]]:
        """The arrays of some recordings."""
        return [self._arrays[row] for row in rows]

    def release(self, rows: Sequence[int]) -> None:
        """Nothing to let go: the arrays are in memory."""

    def prefetch(self, rows: Sequence[int]) -> None:
        """Nothing to read ahead."""


def head_logits(
    heads: Sequence[Head], statistics: Sequence[Mapping[str, Statistics]], sources: Mapping[str, FeatureSource], recordings: int
) -> Float64[np.ndarray, "runs recordings classes"]:
    """Logits of every recording by every run, without dropout; each unit is read once for all runs.

    Args:
        heads: one per run, of one shape.
        statistics: granularity to normalisation, one mapping per run; empty without normalisation.
        sources: granularity to features.
        recordings: how many there are.
    """
    found = []
    with torch.inference_mode():
        for start in range(0, recordings, ROWS):
            rows = np.arange(start, min(start + ROWS, recordings))
            step = plan_step([rows] * len(heads))
            logits = stacked_logits(heads, statistics, sources, step, None)
            found.append(logits.double().cpu().numpy().reshape(len(heads), len(rows), -1))
    return np.concatenate(found, axis=1)
