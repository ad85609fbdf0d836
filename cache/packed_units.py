"""Many utterances of one granularity, without a copy."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from mer.cache.shard_file import ShardFile

Rows = Sequence[int] | Int[np.ndarray, " rows"]
"""Which utterances, by number."""

UnitPlace = tuple[int, int, int]
"""Number of the shard, first unit and one past the last unit of an utterance in it."""


class PackedUnits:
    """The units of a list of utterances; a row is an utterance, in the order in which they were asked for."""

    def __init__(
        self,
        granularity: str,
        places: Sequence[UnitPlace],
        shard: Callable[[int], ShardFile],
        shape: tuple[int, int],
        dtype: np.dtype,
    ) -> None:
        """Made by `FeatureCache.packed`."""
        self.granularity = granularity
        self.layers, self.dim = shape
        self.dtype = dtype
        self.lengths: Int[np.ndarray, " utterances"] = np.array([b - a for _, a, b in places], dtype=np.int64)
        """Units of each utterance."""
        self._places = list(places)
        self._shard = shard
        self._name = f"{granularity}/data"

    def __len__(self) -> int:
        return len(self._places)

    @property
    def nbytes(self) -> int:
        """Bytes of all units together."""
        return int(self.lengths.sum()) * self.layers * self.dim * self.dtype.itemsize

    def views(self, rows: Rows) -> list[np.ndarray]:
        """One read-only array (units, layers, dim) per row, mapped from the shards.

        Raises:
            CacheError: if a shard that is used for the first time is missing or altered.
        """
        shard, name, places = self._shard, self._name, self._places
        found = []
        for row in rows:
            number, start, stop = places[row]
            found.append(shard(number).array(name)[start:stop])
        return found

    def release(self, rows: Rows) -> None:
        """Give the memory of rows back to the system; they stay valid and are read from disk when used again.

        For caches larger than the memory: without it the pages of every utterance that was read count as
        this process's memory until the system is short of it.
        """
        for number, start, stop in self._stretches(rows):
            self._shard(number).release(self._name, start, stop)

    def prefetch(self, rows: Rows) -> None:
        """Ask the system to read rows from disk while something else goes on."""
        for number, start, stop in self._stretches(rows):
            self._shard(number).prefetch(self._name, start, stop)

    def _stretches(self, rows: Rows) -> list[list[int]]:
        """Shard, first and last unit of neighbouring rows together."""
        merged: list[list[int]] = []
        for number, start, stop in sorted(self._places[row] for row in rows):
            if merged and merged[-1][0] == number and merged[-1][2] == start:
                merged[-1][2] = stop
            else:
                merged.append([number, start, stop])
        return merged
