"""Cached features as a `torch` dataset, and padded batches of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from mer.cache import UtteranceMapping
from mer.files.notebook_table import notebook_table


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One utterance of a dataset."""

    id: str
    """Which one."""
    units: Mapping[str, Float[Tensor, "_units _layers _dim"]]
    """Granularity to its units; a copy, which may be written to."""
    target: int
    """Number of its class."""

    def __repr__(self) -> str:
        return f"<Item {self.id}: class {self.target}, {_shapes({name: tuple(each.shape) for name, each in self.units.items()})}>"


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Some utterances of a dataset, padded to the longest of them."""

    ids: tuple[str, ...]
    """Which ones."""
    units: Mapping[str, Float[Tensor, "utterances _longest _layers _dim"]]
    """Granularity to units; zeros behind the last one of each utterance."""
    lengths: Mapping[str, Int64[Tensor, " utterances"]]
    """Granularity to how many units each utterance has, at least 1."""
    targets: Int64[Tensor, " utterances"]
    """Number of each one's class."""

    def __len__(self) -> int:
        return len(self.ids)

    def mask(self, granularity: str) -> Bool[Tensor, "utterances longest"]:
        """True where a unit is."""
        places = torch.arange(self.units[granularity].shape[1], device=self.targets.device)
        return places < self.lengths[granularity][:, None]

    def mean(self, granularity: str) -> Float[Tensor, "utterances layers dim"]:
        """Mean over each utterance's own units, in the type of the units."""
        units = self.units[granularity]
        return units.sum(1) / self.lengths[granularity].to(units.dtype)[:, None, None]

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device."""
        return self._each(lambda values: values.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The same in pinned memory; a `DataLoader` with `pin_memory=True` calls it."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            ids=self.ids,
            units={name: change(each) for name, each in self.units.items()},
            lengths={name: change(each) for name, each in self.lengths.items()},
            targets=change(self.targets),
        )

    def __repr__(self) -> str:
        return f"<Batch of {len(self)} utterances: {_shapes({name: tuple(each.shape) for name, each in self.units.items()})}>"


def collate(items: Sequence[Item]) -> Batch:
    """Utterances as a batch; what a `DataLoader` of a dataset of cached features does unless it is told otherwise."""
    names = items[0].units
    return Batch(
        ids=tuple(item.id for item in items),
        units={name: pad_sequence([item.units[name] for item in items], batch_first=True) for name in names},
        lengths={name: torch.tensor([len(item.units[name]) for item in items]) for name in names},
        targets=torch.tensor([item.target for item in items]),
    )


def _collate_by_default(items: Sequence[Item], *, collate_fn_map: Any = None) -> Batch:
    return collate(items)


# PyTorch's own way to make `DataLoader(dataset)` know a type; see torch.utils.data.default_collate.
default_collate_fn_map[Item] = _collate_by_default


class UtteranceDataset(Dataset[Item]):
    """Some utterances of a cache with their class numbers; made by `cache.dataset`.

    It goes to the workers of a `DataLoader` by the cache's path, under every start method, and reads there.
    """

    def __init__(
        self,
        cache: UtteranceMapping,
        ids: Sequence[str],
        targets: Int64[np.ndarray, " utterances"],
        *,
        classes: Sequence[str],
        layers: Mapping[str, Sequence[int]],
        dtype: torch.dtype = torch.float32,
        part: str = "all utterances",
    ) -> None:
        """Use `cache.dataset`.

        Args:
            cache: where units are read.
            ids: of the utterances.
            targets: number of each one's class.
            classes: their names.
            layers: granularity to the numbers of its layers, all of which the cache holds.
            dtype: of the units; they are stored in the cache's own.
            part: which part of which fold it is, for `repr`.
        """
        self.cache = cache
        self.ids = tuple(ids)
        """Ids, in the order of the numbers that utterances have here."""
        self.targets = torch.from_numpy(np.array(targets, dtype=np.int64))
        """Number of each one's class."""
        self.classes = tuple(classes)
        """Names of the classes; a target is a place in it."""
        self.layers = {name: tuple(numbers) for name, numbers in layers.items()}
        """Granularity to the numbers of its layers."""
        self.dims = {name: cache.dim(name) for name in layers}
        """Granularity to the width of its encoder."""
        self.dtype = dtype
        self._part = part
        self._positions = {name: _positions(cache.layers(name), numbers) for name, numbers in self.layers.items()}

    @property
    def granularities(self) -> tuple[str, ...]:
        """What each item has units of."""
        return tuple(self.layers)

    @property
    def collate(self) -> Callable[[Sequence[Item]], Batch]:
        """For `DataLoader(dataset, collate_fn=dataset.collate)`; it is what happens without, too."""
        return collate

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> Item:
        """One utterance; raises CacheError for a shard that is missing or altered."""
        name = self.ids[number]
        units = {}
        for granularity, positions in self._positions.items():
            stored = self.cache.read(name, granularity)
            # A copy: PyTorch has no tensors that cannot be written to, and says so of arrays that are mapped.
            units[granularity] = torch.from_numpy(np.array(stored[:, positions])).to(self.dtype)
        return Item(id=name, units=units, target=int(self.targets[number]))

    def __repr__(self) -> str:
        return f"<UtteranceDataset: {self._part}, {len(self):,} utterances, {self._features}, {len(self.classes)} classes>"

    def _repr_html_(self) -> str:
        counts = torch.bincount(self.targets, minlength=len(self.classes)).tolist()
        title = f"{self._part}: {len(self):,} utterances, {self._features}"
        return notebook_table(title, list(zip(self.classes, counts, strict=True)), heads=("class", "utterances"))

    @property
    def _features(self) -> str:
        return _shapes({name: (len(numbers), self.dims[name]) for name, numbers in self.layers.items()})


def _positions(stored: Sequence[int], wanted: Sequence[int]) -> slice | list[int]:
    """Where layers are among those that are stored; of all of them a slice, which copies nothing."""
    return slice(None) if list(wanted) == list(stored) else [list(stored).index(number) for number in wanted]


def _shapes(found: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in found.items())
