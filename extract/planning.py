"""Shards of a corpus, planned while the first ones are made: a corpus of a million utterances begins in seconds."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mer.cache import CacheFolder, Plan, PlannedShard, SessionPlan, VerifiedShards, is_done
from mer.corpus import Corpus, Utterance
from mer.corpus.audio import audio_seconds
from mer.corpus.utterance_index import UtteranceIndex
from mer.extract.inputs import Fingerprints

PLANNED_WHOLE = 20_000
"""The lengths of so many utterances are read before the first shard is made: totals are then exact."""
SAMPLED = 500
"""How many of more utterances are looked at for an estimate."""
READERS = 8
CHUNK = 32
"""Headers that a reader looks at in one go."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedWork:
    """How much there is to do; of a large corpus whose lengths are not stated, an estimate."""

    utterances: int
    """That have no committed shard."""
    seconds: float
    """Seconds of their audio."""
    bytes: int
    """Bytes of their features."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CorpusShard:
    """A planned shard and where its utterances are in the corpus."""

    planned: PlannedShard
    """As the cache has it."""
    rows: Rows
    """Rows of its wanted utterances in the corpus, in the order of extraction."""

    @property
    def name(self) -> str:
        """`session1-000`."""
        return self.planned.name

    @property
    def cost(self) -> float:
        """In proportion to the time it takes; the same for every command that plans this corpus."""
        return float(self.planned.bytes)


class Planning:
    """All shards of a corpus in one cache, by session and number."""

    def __init__(
        self, corpus: Corpus, folder: CacheFolder, *, expected_bytes: Callable[[float], int], target_bytes: float
    ) -> None:
        """Read what is planned already; no audio is opened.

        Args:
            corpus: its utterances are wanted.
            folder: the cache.
            expected_bytes: of the features, from the seconds of an utterance.
            target_bytes: size at which a shard is full.

        Raises:
            CacheError: if a plan file is malformed, or cannot be written.
        """
        self._corpus, self._folder = corpus, folder
        self._expected_bytes, self._target = expected_bytes, target_bytes
        self._index = UtteranceIndex.of(corpus)
        self._seconds = self._index.seconds.copy()
        plan = Plan(folder)
        self._sessions: list[tuple[SessionPlan, Rows]] = [
            (plan.of_session(session, self._index.ids[rows]), rows) for session, rows in self._index.rows_by_session()
        ]
        self._part_of: dict[str, tuple[SessionPlan, Rows]] = {}

    def expected(self, shards: Sequence[CorpusShard] | None = None) -> ExpectedWork:
        """How much there is to do.

        Args:
            shards: that will be made; None = all that are not committed, whether they are planned already or not.
        """
        if shards is None:
            parts = [rows[part.free] for part, rows in self._sessions]
            parts += [rows[shard.rows] for part, rows in self._sessions for shard in part.kept if not shard.committed]
        else:
            parts = [shard.rows for shard in shards]
        waiting = np.concatenate([np.array([], dtype=np.int64), *parts])
        looked_at = waiting
        if len(waiting) > PLANNED_WHOLE:
            looked_at = waiting[np.linspace(0, len(waiting) - 1, SAMPLED).astype(np.int64)]
        seconds = list(self.seconds(looked_at))
        scale = len(waiting) / max(1, len(looked_at))
        return ExpectedWork(
            utterances=len(waiting),
            seconds=sum(seconds) * scale,
            bytes=int(sum(map(self._expected_bytes, seconds)) * scale),
        )

    def shards(self) -> Iterator[CorpusShard]:
        """Every shard that holds an utterance of the corpus, done or not; to be gone through once.

        The order and the costs do not depend on what has been made meanwhile. New shards are planned as the stream
        advances, and the headers of their audio are read a little ahead of it.

        Raises:
            CacheError: if the plan cannot be written.
        """
        for part, rows in self._sessions:
            for planned in part.kept:
                yield self._located(planned, part, rows)
            for planned in part.fill(self.sizes(rows[part.free]), self._target):
                yield self._located(planned, part, rows)

    def to_do(self, shards: Iterable[CorpusShard]) -> Iterator[CorpusShard]:
        """Those that have to be made: first the ones that were not committed, then those that do not hold any more.

        The inputs of committed shards are compared last, since all their files are read for that.

        Args:
            shards: of this planning, all or some.

        Raises:
            CacheError: if the plan cannot be written.
        """
        committed: list[CorpusShard] = []
        for shard in shards:
            if shard.planned.committed:
                committed.append(shard)
            else:
                yield shard
        verified = VerifiedShards(self._folder.path)
        for shard in committed:
            if not self._holds(shard, verified):
                part, _ = self._part_of[shard.name]
                yield replace(shard, planned=part.forget(shard.planned))
        verified.save()

    def utterances(self, shard: CorpusShard) -> tuple[Utterance, ...]:
        """The wanted utterances of a shard, in the order of extraction."""
        return tuple(self._corpus.utterances[row] for row in shard.rows.tolist())

    def asked(self, ids: Iterable[str]) -> NDArray[np.bool_]:
        """Which of some ids are in the corpus; a committed shard may hold others, too."""
        return self._index.rows_of(ids) >= 0

    def sizes(self, rows: Rows) -> Iterator[float]:
        """Expected bytes of some utterances."""
        return map(self._expected_bytes, self.seconds(rows))

    def seconds(self, rows: Rows) -> Iterator[float]:
        """Lengths of some utterances, as stated or from their headers; 0 for audio that cannot be read."""
        if not np.isnan(self._seconds[rows]).any():
            yield from self._seconds[rows].tolist()
            return
        reading: deque[Future[list[float]]] = deque()
        pool = ThreadPoolExecutor(READERS, "headers")
        try:
            for start in range(0, len(rows), CHUNK):
                reading.append(pool.submit(self._read_headers, rows[start : start + CHUNK]))
                if len(reading) > 2 * READERS:
                    yield from reading.popleft().result()
            while reading:
                yield from reading.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read_headers(self, rows: Rows) -> list[float]:
        for row in rows[np.isnan(self._seconds[rows])].tolist():
            self._seconds[row] = audio_seconds(self._corpus.utterances[row])
        found: list[float] = self._seconds[rows].tolist()
        return found

    def _located(self, planned: PlannedShard, part: SessionPlan, rows: Rows) -> CorpusShard:
        self._part_of[planned.name] = part, rows
        return CorpusShard(planned=planned, rows=rows[planned.rows])

    def _holds(self, shard: CorpusShard, verified: VerifiedShards) -> bool:
        if len(shard.rows) < len(shard.planned.packed):
            here = set(shard.rows.tolist())
            if any(row >= 0 and row not in here for row in self._index.rows_of(shard.planned.ids).tolist()):
                return False  # an utterance has moved to another session
        fingerprints = Fingerprints({utterance.id: utterance for utterance in self.utterances(shard)})
        return is_done(self._folder, shard.name, shard.planned.ids, fingerprints, verified)
