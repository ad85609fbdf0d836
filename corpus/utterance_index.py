"""Ids, sessions and stated lengths of a whole corpus as columns: what planning needs of a million utterances."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.corpus.utterance import Corpus

CHUNK = 8192

Ids = NDArray[Any]
"""Ids in UTF-8, which sort as the texts do; no id holds NUL."""


@dataclass(frozen=True, kw_only=True)
class UtteranceIndex:
    """One row per utterance, in the corpus' order."""

    ids: Ids
    """Id of each utterance."""
    sessions: tuple[str, ...]
    """In the order of their first utterance."""
    session: NDArray[np.int32]
    """Number of each utterance's session in `sessions`."""
    seconds: NDArray[np.float64]
    """As the corpus states them; NaN where it does not."""

    @classmethod
    def of(cls, corpus: Corpus) -> "UtteranceIndex":
        """The index that the corpus carries (a large manifest), else one made of its utterances."""
        carried = getattr(corpus.utterances, "columns", None)
        if isinstance(carried, cls):
            return carried
        numbers: dict[str, int] = {}
        session = [numbers.setdefault(utterance.session, len(numbers)) for utterance in corpus]
        stated = [np.nan if utterance.seconds is None else utterance.seconds for utterance in corpus]
        return cls(
            ids=packed_ids(utterance.id for utterance in corpus),
            sessions=tuple(numbers),
            session=np.array(session, dtype=np.int32),
            seconds=np.array(stated, dtype=np.float64),
        )

    def rows_of(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Rows of some ids; -1 for one that is not in the corpus."""
        order, ordered = self._by_id
        wanted = packed_ids(ids)
        places = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
        return np.where(ordered[places] == wanted, order[places], -1)

    @cached_property
    def _by_id(self) -> tuple[NDArray[np.int64], Ids]:
        order = np.argsort(self.ids, kind="stable")
        return order, self.ids[order]

    def rows_by_session(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Rows of each session, in order."""
        order = np.argsort(self.session, kind="stable")
        ends = np.cumsum(np.bincount(self.session, minlength=len(self.sessions)))
        yield from zip(self.sessions, np.split(order, ends[:-1]), strict=True)


def packed_ids(ids: Iterable[str]) -> Ids:
    """Ids as one array, without ever holding all of them as texts."""
    chunks: list[Ids] = []
    waiting: list[bytes] = []
    for one in ids:
        waiting.append(one.encode())
        if len(waiting) == CHUNK:
            chunks.append(np.array(waiting, dtype=np.bytes_))
            waiting = []
    chunks.append(np.array(waiting, dtype=np.bytes_))
    return np.concatenate(chunks)
