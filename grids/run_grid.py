"""Fills a grid: its tasks go to a backend, and each row into the table as soon as its last task is there."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, runtime_checkable

from mer.backends import Backend, LocalBackend, Task, TaskDone, TaskFailed, Work
from mer.grids.grid import Config, Grid, GridRow
from mer.grids.grid_events import GridProgress, TaskPlanned, TasksPlanned
from mer.grids.grid_record import GridOrigin
from mer.grids.grid_table import GridResult, GridTable
from mer.heads.errors import UnfinishedError
from mer.heads.progress import ignore
from mer.results import Result

HERE = LocalBackend(workers=1, strict=True)
"""This process alone: an error that is not a row's own is a bug, and ends the grid with its traceback."""

LISTING_SECONDS = (0.1, 0.5, 2.0, 5.0)
"""Pauses before a row whose tasks are all there is looked at again: a shared file system may show them late."""


@dataclass(frozen=True, kw_only=True)
class GridTask:
    """What one worker trains at once."""

    task: Task
    """For the backend."""
    rows: tuple[int, ...]
    """Numbers of the rows that need it: a head that two rows share is trained once."""
    runs: int
    """Runs that are left of it, as far as that is known beforehand; with none it has ended."""
    left: float = 1.0
    """Share of its work that is left."""


@runtime_checkable
class RowTasks(Protocol[Config]):
    """How rows of one kind are trained."""

    @property
    def runs(self) -> Path:
        """Folder of run directories."""
        ...

    @property
    def origin(self) -> GridOrigin:
        """What is trained on."""
        ...

    @property
    def recorded(self) -> tuple[type[Exception], ...]:
        """Errors that are a row's own and stand in the table."""
        ...

    @property
    def writes(self) -> bool:
        """Whether this process tells and writes; of several that train every row together, one does."""
        ...

    def check(self, grid: Grid[Config]) -> None:
        """Refuse a grid that cannot be trained, before anything is written."""
        ...

    def plan(self, table: GridTable[Config]) -> Sequence[GridTask]:
        """All tasks in the order of handing out, the same for every rank; rows that have none by their own fault have failed."""
        ...

    def begin(self, tasks: Collection[Task]) -> None:
        """Note that these, of all tasks, are to be done by this command."""
        ...

    def work(self) -> Work:
        """What workers open."""
        ...

    def result(self, number: int, row: GridRow[Config]) -> Result:
        """The result of row `number` (from 1), whose tasks are done; written where it is not there yet.

        Raises:
            UnfinishedError: they are not.
        """
        ...


def run_grid(
    grid: Grid[Config],
    kind: RowTasks[Config],
    *,
    backend: Backend = HERE,
    own: Callable[[Sequence[Task]], Iterable[Task]] = lambda tasks: tasks,
    progress: GridProgress = ignore,
    pause: Callable[[float], None] = time.sleep,
) -> GridResult[Config]:
    """Train every row of `grid`, and write `runs/<corpus>-<grid>-<digest>/grid.json` after each.

    Rows are results like any other: what an earlier command or another grid has finished is taken as it is, and an
    interrupted grid goes on where it stopped. A row that cannot be trained is recorded with its reason, and the others
    go on. Results are the same on every backend.

    Args:
        grid: the table.
        kind: how its rows are trained; `HeadTasks` or `FinetuneTasks`.
        backend: where tasks are done.
        own: which of all tasks are this command's; rows that need others stay open until these are over, too.
        progress: called with what happens (`mer.grids.grid_events`).
        pause: waits for seconds.

    Raises:
        GridError: a row that needs what the cache does not hold; before anything is trained.
        HeadError: a device that is not there.
        FinetuneError: a session, device or tracker that a row needs and that is not there; before anything is trained.
        BackendError: workers that cannot be had, or that do not agree with this process.
    """
    kind.check(grid)
    tell = progress if kind.writes else ignore
    table = GridTable(grid, kind.origin, kind.runs, tell=tell, recorded=kind.recorded, writes=kind.writes)
    tasks = kind.plan(table)
    waiting = {each.task.name: each for each in tasks if each.runs}
    mine = [task for task in own([each.task for each in tasks]) if task.name in waiting]
    kind.begin(mine)
    planned = tuple(_planned(waiting[task.name]) for task in mine)
    tell(TasksPlanned(tasks=planned, others=len(waiting) - len(mine)))
    rows = _OpenRows(table, kind, waiting.values(), pause)

    def hear(event: object) -> None:
        tell(event)
        if isinstance(event, TaskDone):
            rows.take(event.name)

    rows.close(backend.run(kind.work(), mine, tell=hear))
    return table.compare()


def _planned(each: GridTask) -> TaskPlanned:
    return TaskPlanned(name=each.task.name, row=each.rows[0], cost=each.task.cost * each.left, runs=each.runs)


class _OpenRows(Generic[Config]):
    """The rows whose tasks are not all there yet."""

    def __init__(
        self,
        table: GridTable[Config],
        kind: RowTasks[Config],
        waiting: Iterable[GridTask],
        pause: Callable[[float], None],
    ) -> None:
        """Put rows that wait for nothing into the table."""
        self._table, self._kind, self._pause = table, kind, pause
        self._tasks: dict[int, set[str]] = {number: set() for number in table.open}
        for each in waiting:
            for number in each.rows:
                self._tasks[number].add(each.task.name)
        self._finish()

    def take(self, name: str) -> None:
        """A task is there."""
        for names in self._tasks.values():
            names.discard(name)
        self._finish()

    def close(self, failures: Sequence[TaskFailed]) -> None:
        """Give rows whose tasks failed up; those that other ranks still train stay open, if they are not there by now."""
        reasons = {failure.name: failure.reason for failure in failures}
        for number, names in self._tasks.items():
            failed = sorted(names & reasons.keys())
            self._table.fill(number, self._kind.result, unfinished=reasons[failed[0]] if failed else None)

    def _finish(self) -> None:
        for number in [number for number, names in self._tasks.items() if not names]:
            del self._tasks[number]
            self._table.fill(number, self._result_after_a_while, unfinished="its files do not show on this file system")

    def _result_after_a_while(self, number: int, row: GridRow[Config]) -> Result:
        for seconds in LISTING_SECONDS:
            try:
                return self._kind.result(number, row)
            except UnfinishedError:
                self._pause(seconds)
        return self._kind.result(number, row)
