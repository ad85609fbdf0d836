"""Which utterances of a cache take part, with which class."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mer.heads.features.features import Features
from mer.protocol import ClassMap, class_map, fewer_classes


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
    dialogues: tuple[str, ...]
    """Recording that each row was cut from; empty where unknown."""
    more: tuple[Mapping[str, Any], ...]
    """What else the corpus says of each row."""
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


@runtime_checkable
class ClassSettings(Protocol):
    """What decides the classes of a result; `HeadConfig` has it."""

    @property
    def classes(self) -> str:
        """A class map of `mer.protocol`."""
        ...

    @property
    def drop_class(self) -> tuple[str, ...]:
        """Classes that are left out."""
        ...

    @property
    def min_per_class(self) -> int:
        """Classes with fewer utterances are left out, too."""
        ...


def chosen_classes(config: ClassSettings, labels: Sequence[str]) -> ClassMap:
    """The classes of a corpus with these labels; raises ProtocolError as `class_map` and `fewer_classes` do."""
    return fewer_classes(class_map(config.classes, labels), labels, config.drop_class, config.min_per_class)


def select(cache: Features, config: ClassSettings) -> tuple[Selection, ClassMap]:
    """The utterances whose label belongs to a class.

    Args:
        cache: the feature cache.
        config: which classes.

    Raises:
        ProtocolError: an unknown class map, one that knows no label of the cache, or fewer than two classes.
    """
    table = cache.utterances
    classes = chosen_classes(config, table.labels)
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
        dialogues=tuple(table.dialogues[row] for row in chosen),
        more=tuple(table.more[row] for row in chosen),
        left_out=dict(sorted(left_out.items())),
    ), classes
