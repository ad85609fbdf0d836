"""What is kept of every row of a manifest: some tens of bytes, so that a million rows fit."""

from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.corpus.manifest_file import Place
from mer.corpus.manifest_row import name_in, stated_seconds
from mer.corpus.utterance_index import Ids, UtteranceIndex, packed_ids


class ManifestTable:
    """Columns of the faultless rows: in the order of the file until `select`, then by session and id."""

    def __init__(self) -> None:
        self.sessions: dict[str, int] = {}
        """Every session with its number in `session`."""
        self.labels: dict[str, int] = {}
        """Likewise of the labels."""
        self.ids: Ids = np.array([], dtype=np.bytes_)
        self.lines: NDArray[np.int64] = np.array([], dtype=np.int64)
        self.starts = self.ends = self.session = self.label = self.lines
        self.seconds: NDArray[np.float64] = np.array([], dtype=np.float64)
        self.textless: NDArray[np.bool_] = np.array([], dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.lines)

    def label_counts(self) -> dict[str, int]:
        """Utterances of each label, before or after `select`."""
        counts = np.bincount(self.label, minlength=len(self.labels))
        return {label: int(counts[number]) for label, number in self.labels.items()}

    def fill(self, places: Iterable[Place]) -> None:
        """Take the rows."""
        lines, starts, ends, session, label = (array("q") for _ in range(5))
        seconds, textless = array("d"), bytearray()

        def ids() -> Iterator[str]:
            for line, start, end, row in places:
                lines.append(line)
                starts.append(start)
                ends.append(end)
                session.append(self.sessions.setdefault(name_in(row, "session"), len(self.sessions)))
                label.append(self.labels.setdefault(name_in(row, "label"), len(self.labels)))
                stated = stated_seconds(row)
                seconds.append(np.nan if stated is None else stated)
                textless.append(row.get("text") is None)
                yield name_in(row, "id")

        self.ids = packed_ids(ids())
        self.lines, self.starts, self.ends, self.session, self.label = map(_whole, (lines, starts, ends, session, label))
        self.seconds = np.frombuffer(seconds, dtype=np.float64) if seconds else self.seconds
        self.textless = np.frombuffer(textless, dtype=np.bool_)

    def repeated(self) -> Iterator[tuple[int, str, int]]:
        """Line and id of every row whose id has been before, and the first line that had it."""
        order = np.argsort(self.ids, kind="stable")
        ids = self.ids[order]
        again = np.concatenate([[False], ids[1:] == ids[:-1]])
        if not again.any():
            return
        first = np.maximum.accumulate(np.where(again, 0, np.arange(len(ids))))
        for place in np.flatnonzero(again):
            yield int(self.lines[order[place]]), ids[place].decode(), int(self.lines[order[first[place]]])

    def select(self, kept: NDArray[np.bool_]) -> None:
        """Keep some rows, and sort them by session and id."""
        ranks = np.empty(len(self.sessions), dtype=np.int64)
        ranks[[self.sessions[name] for name in sorted(self.sessions)]] = np.arange(len(ranks))
        rows = np.flatnonzero(kept)
        rows = rows[np.lexsort((self.ids[rows], ranks[self.session[rows]]))]
        for column in ("ids", "lines", "starts", "ends", "session", "label", "seconds", "textless"):
            setattr(self, column, getattr(self, column)[rows])

    def index(self) -> UtteranceIndex:
        """The columns that planning needs, after `select`."""
        there, numbers = np.unique(self.session, return_inverse=True)
        names = list(self.sessions)
        sessions = sorted(names[number] for number in there)
        ranks = {name: rank for rank, name in enumerate(sessions)}
        places = np.array([ranks[names[number]] for number in there], dtype=np.int32)
        return UtteranceIndex(ids=self.ids, sessions=tuple(sessions), session=places[numbers], seconds=self.seconds)


def _whole(column: Any) -> NDArray[np.int64]:
    return np.frombuffer(column, dtype=np.int64) if column else np.array([], dtype=np.int64)
