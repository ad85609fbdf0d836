"""One granularity's features where training reads them: mapped or streamed from the cache, or in GPU memory."""

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.heads.features.device_reads import DeviceReads
from mer.heads.features.features import PackedFeatures
from mer.heads.features.reads import Piece, Reads, SharedReads
from mer.heads.features.step import Step
from mer.heads.features.step_stream import StepStream


def as_tensors(views: Sequence[NDArray[Any]]) -> tuple[Tensor, ...]:
    """Tensors over the same memory as read-only arrays; they must not be written to."""
    with warnings.catch_warnings():
        # torch has no read-only tensors and warns; these are only ever read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return tuple(torch.from_numpy(view) for view in views)


class FeatureSource:
    """Units of one granularity on one device.

    On a CPU they are views of the cache and nothing is copied. On a GPU all units are copied there once where
    they fit, else those of each step are, ahead of it.
    """

    def __init__(
        self,
        packed: PackedFeatures,
        *,
        device: torch.device,
        resident: bool = False,
        stream: bool = False,
        by_step: bool = False,
        layers: Sequence[int] | None = None,
    ) -> None:
        """Prepare the features.

        Args:
            packed: the cache's units; row numbers are its rows.
            device: where units are used.
            resident: copy everything to `device` now.
            stream: drop pages after use and ask for the next ones ahead, so that memory stays bounded by a step.
            by_step: copy what a step wants to `device`, as for every device but a CPU, unless everything is there.
            layers: positions of the stored layers to use; None for all.
        """
        self.dim = packed.dim
        self.lengths = np.asarray(packed.lengths, dtype=np.int64)
        self._packed, self._device, self._stream = packed, device, stream
        self._layers = _slice_or_list(layers, packed.layers)
        self.layers = packed.layers if layers is None else len(layers)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self._resident = self._copy_all() if resident else None
        self._steps = StepStream(device) if not resident and (by_step or device.type != "cpu") else None
        self._tables: WeakKeyDictionary[Step, list[NDArray[Any]]] = WeakKeyDictionary()

    @property
    def streams(self) -> bool:
        """Whether pages are let go after use, because the features are larger than the memory they may take."""
        return self._stream

    def reads(self, step: Step) -> Reads:
        """The units that the runs of a step want."""
        if self._resident is None and self._steps is None:
            per_run = [self.lengths[rows] for rows in step.rows]
            return self._shared(step, per_run, torch.from_numpy(np.concatenate(per_run)))
        return self._gathered(step)

    def prepare(self, step: Step, *, tables: bool) -> None:
        """Do what a device will want for a later step, if any; may be called from another thread.

        Args:
            step: the step.
            tables: kernels will compute it, and read `ChunkTables`.
        """
        if self._resident is None and self._steps is None:
            return
        if self._steps is not None:
            self._steps.gather(step, self._views(step.distinct))
            if self._stream:
                self._packed.release(step.distinct)
        if tables:
            self._tables[step] = self._reads_of(step).host_tables

    def prefetch(self, step: Step) -> None:
        """Say that a step comes next; a stream begins to read."""
        if self._steps is not None:
            self._steps.start(step)
        elif self._stream and self._resident is None:
            self._packed.prefetch(step.distinct)

    def done(self, step: Step) -> None:
        """Say that a step is over; a stream lets its pages go."""
        if self._stream and self._resident is None and self._steps is None:
            self._packed.release(step.distinct)

    def _shared(self, step: Step, per_run: Sequence[NDArray[np.int64]], lengths: Tensor) -> SharedReads:
        sizes = tuple(int(each.sum()) for each in per_run)
        # Row of the output at which each run's each utterance begins.
        first = np.concatenate([[0], np.cumsum(sizes)])
        places = [
            (np.concatenate([[0], np.cumsum(each)[:-1]]) + start).tolist()
            for each, start in zip(per_run, first, strict=False)  # `first` also holds the end
        ]
        views = self._views([row for row, _ in step.order])
        pieces = [
            Piece(view, tuple((run, places[run][position]) for run, position in wanted))
            for view, (_, wanted) in zip(views, step.order, strict=True)
        ]
        return SharedReads(pieces, sizes, lengths)

    def _gathered(self, step: Step) -> DeviceReads:
        reads = self._reads_of(step)
        if (tables := self._tables.pop(step, None)) is not None:
            reads.host_tables = tables
        if self._steps is not None:
            reads.units = self._steps.take(step, lambda: self._views(step.distinct))
        return reads

    def _reads_of(self, step: Step) -> DeviceReads:
        """The reads of a step, which get their units when those are on the device."""
        if self._resident is not None:
            return DeviceReads(self._resident, step, self.lengths, self._starts)
        starts = np.zeros_like(self.lengths)
        starts[step.distinct] = np.cumsum(self.lengths[step.distinct]) - self.lengths[step.distinct]
        return DeviceReads(torch.empty(0, self.layers, self.dim), step, self.lengths, starts)

    def _views(self, rows: Sequence[int]) -> tuple[Tensor, ...]:
        views = as_tensors(self._packed.views(rows))
        return views if self._layers is None else tuple(view[:, self._layers] for view in views)

    def _copy_all(self) -> Tensor:
        first = self._views([0])[0]
        units = first.new_empty(int(self.lengths.sum()), self.layers, self.dim, device=self._device)
        for row, start in enumerate(self._starts.tolist()):
            units[start : start + int(self.lengths[row])] = self._views([row])[0]
            if self._stream:
                self._packed.release([row])
        return units


def _slice_or_list(layers: Sequence[int] | None, stored: int) -> slice | list[int] | None:
    """A slice, which is a view, where the layers are evenly spaced; a list, which copies, else."""
    if layers is None or list(layers) == list(range(stored)):
        return None
    steps = {after - before for before, after in pairwise(layers)}
    if len(steps) <= 1 and all(step > 0 for step in steps):
        return slice(layers[0], layers[-1] + 1, *steps)
    return list(layers)
