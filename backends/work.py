"""What a backend runs: units of work that may be done twice, and what a worker keeps between them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


class BackendError(ValueError):
    """An engine that is not there or refuses, or workers that cannot be had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A piece of work that is idempotent; it is done when its artefact is committed, by whomever."""

    name: str
    """Unique among the units of a work: a shard's name, a run's folder and stem."""
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
    """`cpu`, `cuda`, `cuda:1`."""
    threads: int
    """CPU threads of the worker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitDone:
    """Told by a worker as soon as the artefact of a unit is committed; by the backend, if it was found committed."""

    name: str
    """Of the unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitFailed:
    """A unit that did not succeed at the last try; the others go on.

    A worker tells it of a single try whose commit failed after `do` had returned; the backend decides about another.
    """

    name: str
    """Of the unit."""
    reason: str
    """The last error, or how the worker ended, and on which host."""
    tries: int
    """How often it was begun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLost:
    """A worker has died; the units that it had are tried elsewhere."""

    number: int
    """Of its slot."""
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

    def do(self, unit: Unit, *, share: float, tell: Callable[[object], None]) -> None:
        """Do a unit, whatever an earlier try has left of it; its commit may still be under way on return.

        Args:
            unit: what to do.
            share: of the usual batch size: 1, or 0.5 at the second try after memory ran out or a worker was killed.
            tell: hears of progress, from any thread, in this order for one unit: any number of the work's own
                events, then `UnitDone` when the artefact is committed, or `UnitFailed` if the commit failed later.

        Raises:
            MemoryError: memory ran out (torch.OutOfMemoryError is taken for it, too).
            BackendError: no unit can be done; ends the work.
            Exception: the unit failed; a second try is made elsewhere if there is another worker.
        """
        ...

    def finish(self) -> None:
        """Return when every unit so far is committed, and told to be; more units may follow."""
        ...


@runtime_checkable
class Work(Protocol):
    """Everything that a worker needs before its first unit; can be pickled, and small."""

    def open(self, slot: Slot) -> AbstractContextManager[Worker]:
        """Load what all units share, once per worker.

        Raises:
            BackendError: code or models here are not those of the launcher.
        """
        ...

    def is_done(self, unit: Unit) -> bool:
        """Whether the artefact of a unit is committed and whole, from what is on disk alone."""
        ...
