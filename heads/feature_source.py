"""Where batches of features come from: views of the cache, a copy in GPU memory, or a stream."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.heads.errors import HeadError
from mer.heads.features import Features, PackedFeatures
from mer.heads.packed_batch import PackedBatch

GPU_SHARE = 0.6
"""Part of the free GPU memory that resident features may take; the rest is for batches and activations."""


def as_tensors(views: Sequence[NDArray[Any]]) -> tuple[Tensor, ...]:
    """Tensors over the same memory as read-only arrays; they must not be written to."""
    with warnings.catch_warnings():
        # torch has no read-only tensors and warns; these are only ever read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return tuple(torch.from_numpy(view) for view in views)


class FeatureSource:
    """Batches of one granularity on one device.

    On a CPU a batch is a tuple of views of the cache and copies nothing. On a GPU all units are copied there
    once where they fit, else each batch is.
    """

    def __init__(self, packed: PackedFeatures, *, device: torch.device, resident: bool = False, stream: bool = False) -> None:
        """Prepare the features.

        Args:
            packed: the cache's units; row numbers of `batch` are its rows.
            device: where batches are used.
            resident: copy everything to `device` now.
            stream: drop pages after each batch, so that memory stays bounded by a batch.
        """
        self.layers, self.dim = packed.layers, packed.dim
        self.lengths = np.asarray(packed.lengths, dtype=np.int64)
        self._packed, self._device, self._stream = packed, device, stream
        self._resident: Tensor | None = None
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        if resident:
            self._resident = self._copy_all()

    def batch(self, rows: Sequence[int]) -> PackedBatch:
        """The units of some utterances, in the order of `rows`."""
        lengths = torch.from_numpy(self.lengths[rows]).to(self._device)
        if self._resident is not None:
            return PackedBatch(units=(self._resident[self._positions(rows)],), lengths=lengths)
        views = as_tensors(self._packed.views(rows))
        if self._device.type == "cpu":
            return PackedBatch(units=views, lengths=lengths)
        return PackedBatch(units=(torch.cat(views).to(self._device),), lengths=lengths)

    def done(self, rows: Sequence[int]) -> None:
        """Say that a batch is no longer used; a stream lets its pages go."""
        if self._stream and self._resident is None:
            self._packed.release(rows)

    def _positions(self, rows: Sequence[int]) -> Tensor:
        positions = np.concatenate([np.arange(self.lengths[r]) + self._starts[r] for r in rows])
        return torch.from_numpy(positions).to(self._device)

    def _copy_all(self) -> Tensor:
        rows = range(len(self.lengths))
        first = as_tensors(self._packed.views([0]))[0]
        units = first.new_empty(int(self.lengths.sum()), self.layers, self.dim, device=self._device)
        for row in rows:
            start = int(self._starts[row])
            units[start : start + int(self.lengths[row])] = as_tensors(self._packed.views([row]))[0]
            if self._stream:
                self._packed.release([row])
        return units


def open_sources(
    cache: Features,
    granularities: Sequence[str],
    indices: Sequence[int],
    *,
    device: torch.device,
    ram_gib: float | None,
) -> tuple[dict[str, FeatureSource], dict[str, PackedFeatures], str]:
    """A source per granularity, the features behind them, and a sentence saying where they live.

    Args:
        cache: the feature cache.
        granularities: which to open.
        indices: the utterances that are used; row 0 of every source is the first of them.
        device: where batches are used.
        ram_gib: features larger than this are streamed from disk; None leaves it to the operating system.

    Raises:
        HeadError: a granularity that the cache does not hold, or an utterance without units.
    """
    check_held(cache, granularities)
    packed = {name: cache.packed(name, indices) for name in granularities}
    for name, each in packed.items():
        empty = np.flatnonzero(np.asarray(each.lengths) < 1)
        if len(empty):
            first = cache.utterances.ids[indices[int(empty[0])]]
            raise HeadError(f"{len(empty)} utterances have no unit of granularity {name}, first {first!r}")
    total = sum(each.nbytes for each in packed.values())
    stream = ram_gib is not None and total > ram_gib * 2**30
    resident = device.type == "cuda" and total <= GPU_SHARE * torch.cuda.mem_get_info(device)[0]
    sources = {name: FeatureSource(each, device=device, resident=resident, stream=stream) for name, each in packed.items()}
    return sources, packed, _sentence(packed, resident=resident, stream=stream)


def check_held(cache: Features, granularities: Sequence[str]) -> None:
    """Refuse granularities that the cache does not hold.

    Raises:
        HeadError: naming them, what the cache holds, and how to add them.
    """
    missing = [name for name in granularities if name not in cache.granularities]
    if missing:
        raise HeadError(
            f"the cache holds {'+'.join(cache.granularities)}, not {'+'.join(missing)}: "
            f"`mer extract --granularity {'+'.join([*cache.granularities, *missing])}` makes one that does"
        )


def _sentence(packed: Mapping[str, PackedFeatures], *, resident: bool, stream: bool) -> str:
    place = "in GPU memory" if resident else "streamed from disk" if stream else "mapped from disk"
    sizes = ", ".join(f"{name} {each.nbytes / 2**30:.2f}" for name, each in packed.items())
    return f"features {place} (GiB: {sizes})"
