"""What a grid reports while it goes on, of whatever kind and wherever its tasks are done; printing is the caller's.

In this order: `TasksPlanned`; then `TaskEvent`, `NothingToTrain`, `RowDone` and the backend's own (`TaskDone`, `TaskFailed`,
`WorkerLost`, `Notice`) as they come; `ComparisonStarted`.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TaskPlanned:
    """A task of this command that has not ended."""

    name: str
    """Unique in the grid."""
    row: int
    """Number of the first row that needs it, from 1."""
    cost: float
    """Work that is left of it; only the ratios mean anything."""
    runs: int
    """Runs that are left of it, as far as that is known beforehand."""


@dataclass(frozen=True, kw_only=True)
class TasksPlanned:
    """Sent once, before the first task."""

    tasks: tuple[TaskPlanned, ...]
    """Tasks of this command that have not ended, in the order in which they are handed out."""
    others: int
    """Tasks that other ranks do."""


@dataclass(frozen=True, kw_only=True)
class TaskEvent:
    """What the training of a task reports."""

    task: str
    """Name of the task."""
    event: object
    """What happened, in the words of the head's or the model's training."""


@dataclass(frozen=True, kw_only=True)
class NothingToTrain:
    """A task is over without any training: it was finished before, or cannot be trained."""

    task: str
    """Name of the task."""


@dataclass(frozen=True, kw_only=True)
class RowDone:
    """A row is over and in `grid.json`."""

    row: int
    """Number of the row, from 1."""
    rows: int
    """Rows of the grid."""
    name: str
    """What the table calls it."""
    reused: bool
    """True when it was there already and nothing was trained."""
    ua: float | None
    """UA, mean of folds; None when the row failed, or predicts ratings."""
    ccc: float | None
    """CCC, mean of folds; None when the row failed, or predicts an emotion."""
    failure: str | None
    """Why the row failed."""


@dataclass(frozen=True, kw_only=True)
class ComparisonStarted:
    """All rows are over, and the finished ones are compared: seconds for each, on a large corpus."""

    rows: int
    """Finished rows."""


GridProgress = Callable[[object], None]
