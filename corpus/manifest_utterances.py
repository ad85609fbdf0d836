"""The utterances of a large manifest, each parsed from the file when it is asked for."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from mer.corpus.manifest_file import ManifestFile
from mer.corpus.manifest_reading import Reading
from mer.corpus.utterance import Utterance
from mer.corpus.utterance_index import UtteranceIndex


class ManifestUtterances(Sequence[Utterance]):
    """As a tuple of them, but for memory (some 50 bytes each) and time (some 20 microseconds for each look)."""

    def __init__(
        self,
        file: ManifestFile,
        reading: Reading,
        columns: UtteranceIndex,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
    ) -> None:
        """Take a manifest whose rows have been found faultless.

        Args:
            file: of the rows.
            reading: what the rows mean.
            columns: of the utterances.
            starts: first byte of each utterance's row.
            ends: byte after its last.
        """
        self.columns = columns
        self._file, self._reading = file, reading
        self._starts, self._ends = starts, ends

    @overload
    def __getitem__(self, place: int) -> Utterance: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Utterance, ...]: ...
    def __getitem__(self, place: int | slice) -> Utterance | tuple[Utterance, ...]:
        if isinstance(place, slice):
            return tuple(self[row] for row in range(*place.indices(len(self))))
        row = self._file.row(int(self._starts[place]), int(self._ends[place]))
        return self._reading.utterance(self._reading.complete(row))

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Utterance]:
        for row in range(len(self)):
            yield self[row]
