"""One utterance of a cache, as `cache[utterance_id]` gives it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from mer.files.notebook_table import notebook_table


@runtime_checkable  # beartype checks arguments by isinstance
class Readable(Protocol):
    """What the activations are read from: a cache, or a set of caches."""

    @property
    def granularities(self) -> tuple[str, ...]:
        """What it holds."""
        ...

    def read(self, utterance_id: str, granularity: str) -> np.ndarray:
        """Activations (units, layers, dim)."""
        ...

    def spans(self, utterance_id: str, granularity: str) -> Float[np.ndarray, "units 2"]:
        """Start and end of each unit in seconds."""
        ...

    def labels(self, utterance_id: str, granularity: str) -> tuple[str, ...]:
        """Name of each unit."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class CachedUtterance:
    """What the corpus says of an utterance, and its activations by granularity: `cache["u1"]["S"]`."""

    id: str
    """Unique in the cache."""
    label: str
    """The corpus' own label, unmapped."""
    speaker: str
    """Who speaks."""
    session: str
    """Fold unit."""
    dialogue: str
    """Recording that it was cut from; empty where unknown."""
    style: str
    """`improvised`, `scripted`, or empty where unknown."""
    text: str
    """Transcript."""
    seconds: float
    """Duration of the audio."""
    alignment: str
    """Where the segment times are from; `none` where there are none."""
    more: Mapping[str, Any]
    """What else the corpus says: `split`, `votes`, `attributes`, `columns`."""
    cache: Readable = field(repr=False)
    """Where it is read from."""

    def __getitem__(self, granularity: str) -> np.ndarray:
        """Activations (units, layers, dim): a read-only view of the file.

        Raises:
            CacheError: the cache does not hold the granularity, or the shard is missing or altered.
        """
        return self.cache.read(self.id, granularity)

    def __iter__(self) -> Iterator[str]:
        return iter(self.cache.granularities)

    def __len__(self) -> int:
        return len(self.cache.granularities)

    def __contains__(self, granularity: object) -> bool:
        return granularity in self.cache.granularities

    def keys(self) -> tuple[str, ...]:
        """Granularities, so that `dict(utterance)` has all activations."""
        return self.cache.granularities

    def spans(self, granularity: str) -> Float[np.ndarray, "units 2"]:
        """Start and end of each unit in seconds; raises CacheError where F and T have none."""
        return self.cache.spans(self.id, granularity)

    def unit_labels(self, granularity: str) -> tuple[str, ...]:
        """Name of each phone, syllable or word; raises CacheError where F and T have none."""
        return self.cache.labels(self.id, granularity)

    def __repr__(self) -> str:
        return f"<CachedUtterance {self.id}: {self.label or 'no label'}, {self.seconds:.2f} s, {'+'.join(self)}>"

    def _repr_html_(self) -> str:
        said = ("label", "speaker", "session", "seconds", "text")
        rows = [(name, getattr(self, name)) for name in said]
        return notebook_table(f"utterance {self.id}", [*rows, *((name, _shape(self[name])) for name in self)])


def _shape(units: np.ndarray) -> str:
    count, layers, dim = units.shape
    return f"{count} units x {layers} layers x {dim}"
