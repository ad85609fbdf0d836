"""Which utterances of a cache take part, with which class."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.heads.features.features import Features
from mer.protocol import ClassMap, class_map


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The utterances of a cache that take part."""

    indices: tuple[int, ...]
    """Their positions in the cache; everything else counts rows of this selection."""
    targets: NDArray[np.int64]
    """Class number of each row."""
    ids: tuple[str, ...]
    """Id of each row."""
    speakers: tuple[str, ...]
    """Speaker of each row."""
    sessions: tuple[str, ...]
    """Session of each row."""
    styles: tuple[str, ...]
    """Style of each row."""
    texts: tuple[str, ...]
    """Transcript of each row."""
    left_out: dict[str, int]
    """Label to number of utterances, for labels outside the class map."""

    def fingerprint(self, *, texts: bool = False) -> str:
        """SHA-256 of who takes part with which class: a cache that has grown gives another result.

        Args:
            texts: whether the transcripts decide anything, as they do for text-disjoint training.
        """
        columns = [self.ids, self.targets.tolist(), self.speakers, self.sessions, self.styles]
        rows = list(zip(*columns, *([self.texts] if texts else []), strict=True))
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def select(cache: Features, name: str) -> tuple[Selection, ClassMap]:
    """The utterances whose label belongs to a class.

    Args:
        cache: the feature cache.
        name: a class map of `mer.protocol`.

    Raises:
        ProtocolError: an unknown class map, or one that knows no label of the cache.
    """
    table = cache.utterances
    classes = class_map(name, table.labels)
    numbers = classes.indices(table.labels)
    chosen = np.flatnonzero(numbers >= 0).tolist()
    left_out = Counter(label for label, number in zip(table.labels, numbers, strict=True) if number < 0)
    return Selection(
        indices=tuple(chosen),
        targets=numbers[chosen],
        ids=tuple(table.ids[row] for row in chosen),
        speakers=tuple(table.speakers[row] for row in chosen),
        sessions=tuple(table.sessions[row] for row in chosen),
        styles=tuple(table.styles[row] for row in chosen),
        texts=tuple(table.texts[row] for row in chosen),
        left_out=dict(sorted(left_out.items())),
    ), classes
