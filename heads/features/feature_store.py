"""The features of a training, opened once and kept for the next row of a table."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import psutil
import torch
from jaxtyping import Bool

from mer.cache import CacheSet, FeatureCache, check_numbers
from mer.heads.errors import HeadError
from mer.heads.features.feature_source import FeatureSource
from mer.heads.features.features import Features, PackedFeatures
from mer.heads.features.held_names import what_holds
from mer.heads.features.speaker_units import SpeakerUnits
from mer.heads.features.statistics import Statistics

GPU_SHARE = 0.6
"""Part of the free GPU memory that features may take by default; the rest is for weights and activations."""
RAM_SHARE = 0.8
"""Part of the available memory that features may take by default before they are streamed."""

ON_DEVICE, MAPPED, STREAMED = "in GPU memory", "mapped from disk", "streamed from disk"
BY_STEP = " and copied to the GPU step by step"


class FeatureStore:
    """Decides where each granularity lives, and keeps what it has opened.

    On a GPU a granularity is copied there where it fits, smallest first; of what does not fit the units of each step are copied
    ahead of it. That, and everything on a CPU, is mapped from disk where it fits into memory (so that it is read once) and
    streamed where not.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        ram_gib: float | None = None,
        device_memory_gib: float | None = None,
        own_memory: bool | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            device: where training runs.
            ram_gib: features larger than this are streamed from disk; None takes a share of the available memory.
            device_memory_gib: features larger than this do not go to the GPU; None takes a share of what is free.
            own_memory: whether the device has memory of its own; None: all but a CPU do.
        """
        self.device = device
        self._own_memory = device.type != "cpu" if own_memory is None else own_memory
        self._ram = None if ram_gib is None else ram_gib * 2**30
        self._device_memory = None if device_memory_gib is None else device_memory_gib * 2**30
        self._opened: dict[tuple[str, bool, tuple[int, ...]], tuple[PackedFeatures, FeatureSource, str]] = {}
        self._statistics: dict[tuple[str, str], Statistics] = {}
        self._key: tuple[str, tuple[int, ...]] | None = None

    def open(
        self,
        cache: Features,
        granularities: Sequence[str],
        indices: Sequence[int],
        layers: Sequence[int] | None = None,
        *,
        speakers: Mapping[str, Sequence[str]] | None = None,
    ) -> tuple[dict[str, FeatureSource], dict[str, PackedFeatures], str]:
        """A source per granularity, the features behind them, and a sentence saying where they live.

        Args:
            cache: the feature cache.
            granularities: which to open.
            indices: the utterances that are used; row 0 of every source is the first of them.
            layers: numbers of the encoder layers to use; None for all that are stored.
            speakers: granularities that are normalised by speaker, with the speaker of every row.

        Raises:
            HeadError: a granularity or layer that the cache does not hold, or an utterance without units.
            CacheError: layers that an earlier version stored otherwise than they are taken for.
        """
        check_held(cache, granularities)
        if isinstance(cache, FeatureCache | CacheSet):
            for name in granularities:
                check_numbers(*cache.holder(name), layers)
        speakers = speakers or {}
        wanted = (cache.key, tuple(indices))
        if self._key != wanted:  # other utterances: what is in memory is of no use any more
            self._opened, self._statistics, self._key = {}, {}, wanted
        keys = {name: (name, name in speakers, layer_positions(cache, name, layers)) for name in granularities}
        missing = [name for name in granularities if keys[name] not in self._opened]
        packed = {name: cache.packed(name, indices) for name in missing}
        for name in missing:
            _check_units(cache, name, packed[name], indices)
        stream = self._streams(sum(each.nbytes for each in packed.values()))
        packed |= {name: SpeakerUnits(packed[name], speakers[name], release=stream) for name in missing if name in speakers}
        sizes = {name: _bytes(packed[name], keys[name][2]) for name in missing}
        for name in sorted(missing, key=lambda each: sizes[each]):
            resident = self._fits_on_device(sizes[name])
            source = FeatureSource(
                packed[name],
                device=self.device,
                resident=resident,
                stream=stream,
                by_step=self._own_memory,
                layers=keys[name][2],
            )
            place = ON_DEVICE if resident else STREAMED if stream else MAPPED
            if self._own_memory and not resident:
                place += BY_STEP
            self._opened[keys[name]] = (packed[name], source, place)
        found = {name: self._opened[keys[name]] for name in granularities}
        return (
            {name: source for name, (_, source, _) in found.items()},
            {name: each for name, (each, _, _) in found.items()},
            _sentence({name: (place, each.nbytes) for name, (each, _, place) in found.items()}),
        )

    def statistics(
        self,
        granularity: str,
        membership: Bool[np.ndarray, "runs utterances"],
        compute: Callable[[Bool[np.ndarray, "runs utterances"]], tuple[Statistics, ...]],
    ) -> tuple[Statistics, ...]:
        """The statistics of each run, computed for those training parts that have not been seen yet.

        Args:
            granularity: one that is open.
            membership: which utterances each run trains on.
            compute: makes the statistics of all stored layers for rows of `membership`.
        """
        keys = [(granularity, hashlib.sha256(np.packbits(row).tobytes()).hexdigest()) for row in membership]
        missing = [number for number, key in enumerate(keys) if key not in self._statistics]
        if missing:
            found = compute(membership[missing])
            self._statistics |= {keys[number]: each for number, each in zip(missing, found, strict=True)}
        return tuple(self._statistics[key] for key in keys)

    def _streams(self, added: int) -> bool:
        used = sum(packed.nbytes for packed, _, place in self._opened.values() if place.startswith(MAPPED))
        limit = self._ram if self._ram is not None else RAM_SHARE * psutil.virtual_memory().available
        return used + added > limit

    def _fits_on_device(self, size: int) -> bool:
        if not self._own_memory:
            return False
        if self._device_memory is None:
            return size <= GPU_SHARE * torch.cuda.mem_get_info(self.device)[0]
        used = sum(each.nbytes for each, _, place in self._opened.values() if place == ON_DEVICE)
        return used + size <= self._device_memory


def check_held(cache: Features, granularities: Sequence[str]) -> None:
    """Refuse granularities that the cache does not hold.

    Raises:
        HeadError: naming them, what the cache holds, and how to add them.
    """
    missing = [name for name in granularities if name not in cache.granularities]
    if missing:
        raise HeadError(
            f"the cache holds {'+'.join(cache.granularities)}, not {'+'.join(missing)}: "
            f"{what_holds([*cache.granularities, *missing])} makes one that does"
        )


def layer_positions(cache: Features, granularity: str, layers: Sequence[int] | None) -> tuple[int, ...]:
    """Where the wanted encoder layers are among the stored ones.

    Raises:
        HeadError: a layer that is not stored.
    """
    stored = list(cache.layers(granularity))
    missing = [number for number in layers or () if number not in stored]
    if missing:
        raise HeadError(
            f"layers {', '.join(map(str, missing))} of {granularity} are not in the cache, which holds "
            f"{', '.join(map(str, stored))}: `mer extract --layers ...` makes one that holds them"
        )
    return tuple(range(len(stored))) if layers is None else tuple(stored.index(number) for number in layers)


def _check_units(cache: Features, name: str, packed: PackedFeatures, indices: Sequence[int]) -> None:
    empty = np.flatnonzero(np.asarray(packed.lengths) < 1)
    if len(empty):
        first = cache.utterances.ids[indices[int(empty[0])]]
        raise HeadError(f"{len(empty)} utterances have no unit of granularity {name}, first {first!r}")


def _bytes(packed: PackedFeatures, positions: Sequence[int]) -> int:
    return packed.nbytes * len(positions) // packed.layers


def _sentence(found: Mapping[str, tuple[str, int]]) -> str:
    """Where the features live: one clause per place."""
    clauses = []
    for place in dict.fromkeys(place for place, _ in found.values()):
        sizes = ", ".join(f"{name} {size / 2**30:.2f}" for name, (each, size) in found.items() if each == place)
        clauses.append(f"{place} (GiB: {sizes})")
    return "features " + ", ".join(clauses)
