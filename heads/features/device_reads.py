"""The units that a step wants of one tensor on a device, as a few tables of numbers."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor

from mer.heads.features.reads import BLOCK_GPU, GatheredReads
from mer.heads.features.step import Step

SHORT, LONG = 8, 64
"""Units of a chunk: forward, where a program holds whole rows, and backward, where sums are written once a chunk."""


class ChunkTables(NamedTuple):
    """What the kernels of the layer average read, see `mer.heads.stacked.device.layer_kernels`."""

    uses: Int32[Tensor, "uses two"]
    """Run, and row of the output for an utterance's first unit."""
    short: Int32[Tensor, "chunks six"]
    """First stored unit, units, units of the utterance before it, first use, use after the last, first part."""
    long: Int32[Tensor, "chunks six"]
    """The same in longer chunks."""
    order: Int32[Tensor, " parts"]
    """Parts of run 0, of run 1, and so on; a part is one use of one long chunk."""
    bounds: Int32[Tensor, "two runs"]
    """Where in `order` each run begins, and ends."""


class DeviceReads(GatheredReads):
    """Units in one tensor on a device: kernels take the tables; PyTorch's operations gather for one run after the other."""

    def __init__(
        self, units: Tensor, step: Step, lengths: Int64[np.ndarray, " rows"], starts: Int64[np.ndarray, " rows"]
    ) -> None:
        """Nothing is copied to the device before somebody asks.

        Args:
            units: (units, layers, dim) of all that is wanted, in storage precision.
            step: the utterances of each run.
            lengths: units of every row of the corpus.
            starts: first unit in `units` of every row that is wanted.
        """
        self.units, self._block = units, BLOCK_GPU
        self._step, self._starts, self._counts = step, starts, [lengths[rows] for rows in step.rows]
        self.sizes = tuple(int(each.sum()) for each in self._counts)
        self.lengths = torch.from_numpy(np.concatenate(self._counts))
        self._row_lengths = lengths

    @cached_property
    def _units(self) -> Tensor:  # type: ignore[override]
        return self.units

    @cached_property
    def _positions(self) -> Sequence[Tensor]:  # type: ignore[override]
        """Stored units of each run, one by one."""
        found = []
        for rows, counts in zip(self._step.rows, self._counts, strict=True):
            within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
            found.append(torch.from_numpy(np.repeat(self._starts[rows], counts) + within).to(self.units.device))
        return found

    @property
    def distinct_units(self) -> int:
        """Stored units that somebody wants, each once for all runs that go through the corpus in one order."""
        return int(self._row_lengths[self._step.entries].sum())

    @cached_property
    def host_tables(self) -> list[np.ndarray]:
        """`ChunkTables` on the host."""
        counts = np.concatenate(self._counts)
        places = np.cumsum(counts) - counts
        utterances = np.cumsum([0, *(len(rows) for rows in self._step.rows)])
        uses = self._step.uses.copy()
        uses[:, 1] = places[utterances[uses[:, 0]] + uses[:, 1]]
        rows, ends = self._step.entries, self._step.ends
        begins = np.concatenate([[0], ends])[: len(ends)]
        short, long = (self._chunks(rows, begins, ends, length) for length in (SHORT, LONG))
        wanted = long[:, 4] - long[:, 3]
        within = np.arange(int(wanted.sum())) - np.repeat(long[:, 5], wanted)
        runs = uses[np.repeat(long[:, 3], wanted) + within, 0]
        ends = np.cumsum(np.bincount(runs, minlength=len(self.sizes)))
        return [uses, short, long, np.argsort(runs, kind="stable"), np.stack([np.concatenate([[0], ends[:-1]]), ends])]

    def _chunks(self, rows: np.ndarray, begins: np.ndarray, ends: np.ndarray, length: int) -> Int32[np.ndarray, "chunks six"]:
        counts = self._row_lengths[rows]
        parts = -(-counts // length)
        pieces = np.repeat(np.arange(len(rows)), parts)
        offsets = length * (np.arange(len(pieces)) - np.repeat(np.cumsum(parts) - parts, parts))
        wanted = (ends - begins)[pieces]
        table = np.empty((len(pieces), 6), dtype=np.int32)
        table[:, 0] = self._starts[rows][pieces] + offsets
        table[:, 1] = np.minimum(counts[pieces] - offsets, length)
        table[:, 2] = offsets
        table[:, 3] = begins[pieces]
        table[:, 4] = ends[pieces]
        table[:, 5] = np.cumsum(wanted) - wanted
        return table
