"""Which datasets a shard holds, and of which shape and type: the format in one place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mer.cache.cache_error import CacheError
from mer.cache.granularity import SEGMENT_GRANULARITIES
from mer.cache.records import FAILED_FIELDS, OPTIONAL_FIELDS, STRING_FIELDS
from mer.cache.spec import Spec, spec_dim, spec_layers


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where one dataset lies in a shard file."""

    shape: tuple[int, ...]
    """Sizes of the axes."""
    dtype: str
    """Numpy's name with byte order: `<f2`, `<i8`, `|S12`."""
    offset: int | None
    """First byte in the file; None for a dataset without elements."""

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Expected:
    """What the format says of one dataset."""

    shape: tuple[int, ...]
    dtype: str
    """Numpy's name, or `S` for text of any width."""
    required: bool = True

    def fits(self, dataset: Dataset) -> bool:
        """Whether a dataset has this shape and type."""
        if self.dtype == "S":
            text = dataset.dtype
            typed = text.startswith("|S") and text[2:].isdigit() and int(text[2:]) > 0
        else:
            typed = dataset.dtype == self.dtype
        return typed and dataset.shape == self.shape


def expected_datasets(spec: Spec, units: Mapping[str, Sequence[int]], utterances: int, failed: int) -> dict[str, Expected]:
    """Every dataset that a shard may hold.

    Args:
        spec: the cache's.
        units: per granularity, the units of each utterance.
        utterances: number of utterances with activations.
        failed: number of utterances without.
    """
    numbers = np.dtype(spec["storage"]["dtype"]).newbyteorder("<").str
    found = {f"utterance/{name}": Expected((utterances,), "S", required=name not in OPTIONAL_FIELDS) for name in STRING_FIELDS}
    found["utterance/seconds"] = Expected((utterances,), "<f8")
    found |= {f"failed/{name}": Expected((failed,), "S") for name in FAILED_FIELDS}
    for granularity in spec["granularities"]:
        total = sum(units[granularity])
        segment = granularity in SEGMENT_GRANULARITIES
        shape = (total, len(spec_layers(spec, granularity)), spec_dim(spec, granularity))
        found[f"{granularity}/data"] = Expected(shape, numbers)
        found[f"{granularity}/offsets"] = Expected((utterances + 1,), "<i8")
        found[f"{granularity}/span"] = Expected((total, 2), "<f8", required=segment)
        found[f"{granularity}/label"] = Expected((total,), "S", required=segment)
    return found


def check_datasets(found: Mapping[str, Dataset], expected: Mapping[str, Expected], where: str) -> None:
    """Refuse datasets that the format does not allow.

    Raises:
        CacheError: naming the first that is missing, unexpected, or of another shape or type.
    """
    for name, wanted in expected.items():
        if name not in found:
            if wanted.required:
                raise CacheError(f"{where}: no dataset /{name}; re-run `mer extract` after deleting this shard")
        elif not wanted.fits(found[name]):
            raise CacheError(
                f"{where}: dataset /{name} is {found[name].dtype} {found[name].shape}, "
                f"expected {wanted.dtype} {wanted.shape}; re-run `mer extract` after deleting this shard"
            )
    unexpected = sorted(set(found) - set(expected))
    if unexpected:
        raise CacheError(f"{where}: unexpected dataset /{unexpected[0]}; this is no shard of format version 1")
