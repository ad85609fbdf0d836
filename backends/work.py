"""What a backend runs: tasks that may be done twice, and what a worker keeps between them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


class BackendError(ValueError):
    """An engine that is not there or refuses, or workers that cannot be had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A piece of work that is idempotent; it is done when its artefact is committed, by whomever."""

    name: str
    """Unique among the tasks of a work: a shard's name, a run's folder and stem."""
    cost: float
    """Seconds of audio, or another measure in proportion to time; the largest are begun first."""
    content: Any
    """What the worker needs to know; can be pickled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """The place where a worker runs."""

    number: int
    """From 0."""
    device: str
    """`cpu`, `cuda`, `cuda:1`, `mps`."""
    threads: int
    """CPU threads of the worker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDone:
    """Told by a worker as soon as the artefact of a task is committed; by the backend, if it was found committed."""

    name: str
    """Name of the task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFailed:
    """A task that did not succeed at the last try; the others go on.

    A worker tells it of a single try that failed after `do` had returned; the backend decides about another.
    """

    name: str
    """Name of the task."""
    reason: str
    """The last error, or how the worker ended, and on which host."""
    tries: int
    """How often it was begun."""
    memory: bool = False
    """Whether memory ran out; told by a worker, the next try takes half the batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLost:
    """A worker has died; the tasks that it had are tried elsewhere."""

    number: int
    """Number of its slot."""
    host: str
    """Where it ran."""
    reason: str
    """How it ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What a backend has to say to people: where its logs are, which jobs it has submitted."""

    text: str
    """One line."""


@runtime_checkable
class Worker(Protocol):
    """A worker that is ready: models are loaded, features open."""

    def do(self, task: Task, *, share: float, tell: Callable[[object], None]) -> None:
        """Do a task, whatever an earlier try has left of it; it may still be under way on return.

        Args:
            task: what to do.
            share: of the usual batch size: 1, or 0.5 at the second try after memory ran out or a worker was killed.
            tell: hears of progress, from any thread, in this order for one task: any number of the work's own
                events, then `TaskDone` when the artefact is committed, or `TaskFailed` if it failed after the return.

        Raises:
            MemoryError: memory ran out (torch.OutOfMemoryError is taken for it, too).
            BackendError: no task can be done; ends the work.
            Exception: the task failed; a second try is made elsewhere if there is another worker.
        """
        ...

    def finish(self) -> None:
        """Return when every task so far is committed, and told to be; more tasks may follow."""
        ...


@runtime_checkable
class Work(Protocol):
    """Everything that a worker needs before its first task; can be pickled, and small."""

    def open(self, slot: Slot) -> AbstractContextManager[Worker]:
        """Load what all tasks share, once per worker.

        Raises:
            BackendError: code or models here are not those of the launcher.
        """
        ...

    def is_done(self, task: Task) -> bool:
        """Whether the artefact of a task is committed and whole, from what is on disk alone."""
        ...
