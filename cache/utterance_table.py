"""All utterances of a cache, as columns."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import compress
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from mer.cache.cache_error import UnknownUtteranceError
from mer.cache.records import UtteranceRecord

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, eq=False)
class UtteranceTable:
    """Parallel columns, sorted by session, then id."""

    ids: tuple[str, ...]
    """Unique."""
    labels: tuple[str, ...]
    """The corpus' own, unmapped."""
    speakers: tuple[str, ...]
    """Who speaks."""
    sessions: tuple[str, ...]
    """Fold units."""
    texts: tuple[str, ...]
    """Transcripts."""
    dialogues: tuple[str, ...]
    """Recordings; empty where unknown."""
    styles: tuple[str, ...]
    """`improvised`, `scripted`, or empty."""
    seconds: Float[np.ndarray, " utterances"]
    """Durations, float64."""
    alignments: tuple[str, ...]
    """Where the segment times are from; `none` where there are none."""
    more: tuple[Mapping[str, Any], ...]
    """What else the corpus says: `split`, `votes`, `attributes`, `columns`; an empty mapping for nothing."""
    _rows: dict[str, int] = field(repr=False)

    @classmethod
    def of(cls, records: Iterable[UtteranceRecord]) -> "UtteranceTable":
        """Sort records into a table; ids must be unique."""
        found = sorted(records, key=lambda record: (record.session, record.id))
        seconds = np.array([r.seconds for r in found], dtype=np.float64)
        seconds.flags.writeable = False
        return cls(
            ids=tuple(r.id for r in found),
            labels=tuple(r.label for r in found),
            speakers=tuple(r.speaker for r in found),
            sessions=tuple(r.session for r in found),
            texts=tuple(r.text for r in found),
            dialogues=tuple(r.dialogue for r in found),
            styles=tuple(r.style for r in found),
            seconds=seconds,
            alignments=tuple(r.alignment for r in found),
            more=tuple(json.loads(r.more) if r.more else _NOTHING for r in found),
            _rows={r.id: row for row, r in enumerate(found)},
        )

    def only(self, chosen: Sequence[bool]) -> "UtteranceTable":
        """Some of the rows.

        Args:
            chosen: of each row whether it stays.
        """
        columns = {each.name: getattr(self, each.name) for each in fields(self) if not each.name.startswith("_")}
        kept: dict[str, Any] = {name: tuple(compress(column, chosen)) for name, column in columns.items()}
        kept["seconds"] = self.seconds[np.asarray(chosen, dtype=np.bool_)]
        kept["seconds"].flags.writeable = False
        return UtteranceTable(**kept, _rows={name: row for row, name in enumerate(kept["ids"])})

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, utterance_id: object) -> bool:
        return utterance_id in self._rows

    def index(self, utterance_id: str) -> int:
        """Row of an utterance.

        Raises:
            UnknownUtteranceError: naming the closest ids.
        """
        row = self._rows.get(utterance_id)
        if row is None:
            close = difflib.get_close_matches(utterance_id, self.ids, n=3, cutoff=0.5)
            hint = f"; closest: {', '.join(close)}" if close else ""
            raise UnknownUtteranceError(f"utterance {utterance_id!r} is not among the {len(self)} utterances of this cache{hint}")
        return row
