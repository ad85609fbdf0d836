"""What each step of an epoch reads, planned beside a device that computes: later steps, and the first ones of the next epoch."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from mer.heads.features.feature_source import FeatureSource
from mer.heads.features.step import Step, plan_step
from mer.heads.training.batches import NO_ROWS, Rows, ordered_batches

AHEAD = 3
"""Steps that are planned ahead of a device."""
Plan = TypeVar("Plan")
Key = tuple[int, int]


class Planned(Generic[Plan]):
    """`plan(0)`, `plan(1)` and so on, in this order; the first ones are being made from now on."""

    def __init__(self, plan: Callable[[int], Plan], count: int, *, ahead: int) -> None:
        """Begin.

        Args:
            plan: makes one.
            count: how many.
            ahead: how many are made in a thread of their own before they are asked for; 0 makes each when it is.
        """
        self._plan, self._count = plan, count
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="plan") if ahead else None
        self._waiting: deque[Future[Plan]] = deque()
        self._begun = 0
        for _ in range(ahead):
            self._begin_another()

    def __iter__(self) -> Iterator[Plan]:
        """To be asked for once."""
        try:
            for number in range(self._count):
                found = self._waiting.popleft().result() if self._waiting else self._plan(number)
                self._begin_another()
                yield found
        finally:
            self.close()

    def close(self) -> None:
        """Make no more; what is made and not taken is forgotten."""
        while self._waiting:
            self._waiting.popleft().cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _begin_another(self) -> None:
        if self._pool is not None and self._begun < self._count:
            self._waiting.append(self._pool.submit(self._plan, self._begun))
            self._begun += 1


Steps = Planned[tuple[list[int], Step]]
"""For each step, the runs that take part in it, and what they read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochOf:
    """What an epoch of several runs depends on."""

    keys: Sequence[Key]
    """Seed and epoch of each run, which decide its order."""
    train: Sequence[Rows]
    """The rows of each run."""

    def same_as(self, other: "EpochOf") -> bool:
        """Whether the other one is of these runs, in this order, at this epoch."""
        own = zip(self.train, other.train, strict=False)
        return list(self.keys) == list(other.keys) and all(one is another for one, another in own)


class StepPlans:
    """Plans the steps of a trainer."""

    def __init__(self, sources: Mapping[str, FeatureSource], *, utterances: int, batch: int, tables: bool) -> None:
        """Nothing is planned yet.

        Args:
            sources: granularity to features.
            utterances: rows of the corpus.
            batch: rows of a run in a step.
            tables: kernels will compute the steps of whole stacks.
        """
        self._sources, self._utterances, self._batch, self._tables = sources, utterances, batch, tables
        self._pool: ThreadPoolExecutor | None = None
        self._expected: tuple[EpochOf, Future[Steps]] | None = None

    def epoch(self, epoch: EpochOf, *, whole: bool) -> Steps:
        """The training steps of an epoch, which `expect` may have begun.

        Args:
            epoch: whose.
            whole: the stack is computed whole: who has no batch left has no rows.
        """
        if self._expected is not None and self._expected[0].same_as(epoch):
            (_, begun), self._expected = self._expected, None
            return begun.result()
        self.forget()
        return self._begin(epoch, whole)

    def expect(self, epoch: EpochOf) -> None:
        """Begin to plan an epoch of a whole stack in a thread.

        Who stops before it is not known yet; a wrong guess is forgotten.
        """
        self.forget()
        if AHEAD and epoch.keys:
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="expect")
            self._expected = epoch, self._pool.submit(self._begin, epoch, True)

    def forget(self) -> None:
        """Give up what `expect` has begun and nobody has taken."""
        if self._expected is not None:
            self._expected[1].add_done_callback(lambda begun: None if begun.cancelled() else begun.result().close())
            self._expected[1].cancel()
            self._expected = None

    def of(self, batches: Sequence[Sequence[Rows]], groups: Sequence[int], ranks: Sequence[Rows] | None, *, whole: bool) -> Steps:
        """Steps of any batches.

        Args:
            batches: of each run.
            groups: which runs go through the corpus in one order.
            ranks: place of every row in each order; None where there is none.
            whole: as in `epoch`.
        """

        def plan(number: int) -> tuple[list[int], Step]:
            members = [run for run, each in enumerate(batches) if whole or number < len(each)]
            rows = [batches[run][number] if number < len(batches[run]) else NO_ROWS for run in members]
            step = plan_step(rows, [groups[run] for run in members], ranks)
            for source in self._sources.values() if whole else ():
                source.prepare(step, tables=self._tables)
            return members, step

        return Planned(plan, max(len(each) for each in batches), ahead=AHEAD if whole else 0)

    def _begin(self, epoch: EpochOf, whole: bool) -> Steps:
        groups, ranks, batches = ordered_batches(epoch.keys, epoch.train, self._utterances, self._batch)
        return self.of(batches, groups, ranks, whole=whole)
