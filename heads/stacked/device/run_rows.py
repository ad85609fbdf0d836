"""How many rows each run of a stack has, with what kernels need to know of it."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from mer.heads.stacked.device.device_path import DevicePath

TILE = 64
"""Rows of a program; a run begins a new one, so that what is added up for a row depends on its run alone."""


class RunRows(Sequence[int]):
    """Rows of each run. Whoever is given one, instead of plain numbers, computes on the device path with stacked parameters."""

    def __init__(self, sizes: Sequence[int], path: DevicePath, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        """Nothing is copied before a kernel asks.

        Args:
            sizes: rows of run 0, of run 1, and so on; 0 is allowed.
            path: how they are computed.
            device: where.
            dtype: what layers give.
        """
        self.sizes, self.path, self.dtype, self._device = tuple(sizes), path, dtype, device

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, run):  # type: ignore[no-untyped-def]
        return self.sizes[run]

    @property
    def total(self) -> int:
        """Rows of all runs."""
        return sum(self.sizes)

    @cached_property
    def _tables(self) -> list[Tensor]:
        ends = np.cumsum(self.sizes)
        starts = ends - self.sizes
        tiles = -(-np.array(self.sizes) // TILE)
        runs = np.repeat(np.arange(len(self)), tiles)
        within = np.arange(len(runs)) - np.repeat(np.cumsum(tiles) - tiles, tiles)
        table = np.stack([runs, starts[runs] + TILE * within, ends[runs], starts[runs]], 1)
        last = np.cumsum(tiles)
        return tables_to_device(
            [np.stack([starts, ends]), table, np.stack([last - tiles, last]), np.arange(len(runs))], self._device
        )

    @property
    def bounds(self) -> Int32[Tensor, "two runs"]:
        """First row of each run, and the rows after the last."""
        return self._tables[0]

    @property
    def tiles(self) -> Int32[Tensor, "tiles four"]:
        """Run, first row, end of the run and first row of the run, for every tile of `TILE` rows."""
        return self._tables[1]

    @property
    def tile_bounds(self) -> Int32[Tensor, "two runs"]:
        """First tile of each run, and the tile after the last."""
        return self._tables[2]

    @property
    def tile_numbers(self) -> Int32[Tensor, " tiles"]:
        """Number of every tile."""
        return self._tables[3]


def to_device(numbers: np.ndarray, device: torch.device) -> Int32[Tensor, " numbers"]:
    """A copy as int32 that the host does not wait for."""
    host = torch.from_numpy(np.ascontiguousarray(numbers, dtype=np.int32))
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)


def tables_to_device(tables: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """All of them in one copy."""
    together = to_device(np.concatenate([each.ravel() for each in tables]), device)
    parts = torch.split(together, [each.size for each in tables])
    return [part.view(each.shape) for part, each in zip(parts, tables, strict=True)]
