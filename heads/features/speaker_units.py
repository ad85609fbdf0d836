"""Units of which each is normalised by the statistics of its own speaker."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Num
from numpy.typing import NDArray

from mer.heads.errors import HeadError
from mer.heads.features.features import PackedFeatures
from mer.heads.features.statistics import Statistics, training_statistics


def standardise(units: Num[np.ndarray, "units layers dim"], statistics: Statistics) -> Float32[np.ndarray, "units layers dim"]:
    """`(units - mean) / std` per layer and dimension, in float32."""
    centred: NDArray[np.float32] = np.subtract(units, statistics.mean.numpy(), dtype=np.float32)
    centred /= statistics.std.numpy()
    return centred


class SpeakerUnits:
    """Features in which every speaker has mean 0 and deviation 1 per layer and dimension, as in Pepino 2021.

    The statistics of a speaker are those of all utterances of that speaker here, training, validation or test, whose labels
    are not looked at: a speaker is in one session only, so that nothing of a test speaker reaches the training of the others.
    They are taken when an utterance of the speaker is first read; nobody reads one of a test speaker before the test.

    It is what `PackedFeatures` asks for; several threads may read.
    """

    def __init__(self, packed: PackedFeatures, speakers: Sequence[str], *, release: bool = False) -> None:
        """Nothing is read yet.

        Args:
            packed: features as stored.
            speakers: who speaks in each row.
            release: drop pages once statistics are taken from them, for a cache larger than memory.

        Raises:
            HeadError: a wrong number of speakers.
        """
        if len(speakers) != len(packed.lengths):
            raise HeadError(f"{len(speakers)} speakers are given for {len(packed.lengths)} utterances")
        self._packed, self._release = packed, release
        names, self._speaker = np.unique(np.asarray(speakers), return_inverse=True)
        self._statistics: list[Statistics | None] = [None] * len(names)
        self._lock = threading.Lock()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Units of each utterance."""
        return self._packed.lengths

    @property
    def nbytes(self) -> int:
        """Bytes of all units as they are given, in float32."""
        return int(np.asarray(self._packed.lengths).sum()) * self.layers * self.dim * np.dtype(np.float32).itemsize

    @property
    def layers(self) -> int:
        """Layers of each unit."""
        return self._packed.layers

    @property
    def dim(self) -> int:
        """Values per layer."""
        return self._packed.dim

    def views(self, rows: Sequence[int]) -> list[NDArray[Any]]:
        """Normalised units (units, layers, dim) of some utterances."""
        statistics = [self._statistics_of(int(self._speaker[row])) for row in rows]
        return [standardise(units, each) for units, each in zip(self._packed.views(rows), statistics, strict=True)]

    def release(self, rows: Sequence[int]) -> None:
        """Let the operating system drop these rows' pages."""
        self._packed.release(rows)

    def prefetch(self, rows: Sequence[int]) -> None:
        """Let the operating system read these rows in the background."""
        self._packed.prefetch(rows)

    def _statistics_of(self, speaker: int) -> Statistics:
        with self._lock:
            found = self._statistics[speaker]
            if found is None:
                (found,) = training_statistics(self._packed, (self._speaker == speaker)[None], release=self._release)
                self._statistics[speaker] = found
            return found
