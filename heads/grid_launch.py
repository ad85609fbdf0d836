"""Trains a grid in bundles on a backend; each row is put into the table as soon as its last bundle is there."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from mer.backends import Unit, UnitDone, UnitFailed
from mer.backends.agreement import versions
from mer.backends.backend import Backend
from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError, UnfinishedError
from mer.heads.feature_store import FeatureStore
from mer.heads.features import Features
from mer.heads.grid import Grid, GridRow
from mer.heads.grid_check import check_grid
from mer.heads.grid_runner import origin_of, train_row
from mer.heads.grid_table import GridResult, GridTable
from mer.heads.head_jobs import head_jobs
from mer.heads.head_work import HeadWork
from mer.heads.planned_head import PlannedHead, plan_head
from mer.heads.train_head import finish_head
from mer.protocol import ProtocolError
from mer.results import Result
from mer.results.errors import ResultError

LISTING_SECONDS = (0.1, 0.5, 2.0, 5.0)
"""Pauses before a row whose bundles are all there is looked at again: a shared file system may show them late."""


@dataclass(frozen=True, kw_only=True)
class JobsPlanned:
    """Sent once, before the first bundle."""

    costs: dict[str, float]
    """Work of each bundle of this command that has not ended; only the ratios mean anything."""
    others: int
    """Bundles that other ranks train."""


def launch_grid(
    cache: Features,
    grid: Grid[HeadConfig],
    runs: Path,
    *,
    backend: Backend,
    open_features: Callable[[], Features],
    workers: int,
    own: Callable[[Sequence[Unit]], Iterable[Unit]] = lambda units: units,
    progress: Callable[[object], None] = lambda event: None,
    command: str | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> GridResult[HeadConfig]:
    """Train every row of `grid` on `backend`; results are those of `run_grid`.

    Args:
        cache: the feature cache.
        grid: the table.
        runs: folder of run directories, which every worker reaches by this path.
        backend: where bundles of runs are trained.
        open_features: opens the cache in a worker; can be pickled.
        workers: that share the bundles, over all ranks.
        own: which of all bundles are this command's; rows that need others stay open.
        progress: called with what happens.
        command: the command line, for the provenance of each head.
        pause: waits for seconds.

    Raises:
        GridError: a granularity, layer or session that a row needs and the cache does not hold.
        BackendError: workers that cannot be had, or that do not agree with this process.
    """
    check_grid(cache, grid)
    rows = _OpenRows(cache, grid, runs, tell=progress, command=command, pause=pause)
    units = sorted(head_jobs(list(rows.heads.values()), workers=workers), key=lambda unit: (-unit.cost, unit.name))
    work = HeadWork(open_features=open_features, key=cache.key, runs=runs, versions=versions())
    waiting = {unit.name: unit for unit in units if not work.is_done(unit)}
    mine = [unit for unit in own(units) if unit.name in waiting]
    progress(JobsPlanned(costs={unit.name: unit.cost for unit in mine}, others=len(waiting) - len(mine)))
    for name in dict.fromkeys(unit.content.directory for unit in mine):
        rows.heads[name].note_start(command, grid.rows[0].configs[0].device)
    rows.expect(waiting.values())

    def hear(event: object) -> None:
        progress(event)
        if isinstance(event, UnitDone):
            rows.take(event.name)

    failures = backend.run(work, mine, tell=hear)
    rows.close(failures)
    return rows.table.compare()


class _OpenRows:
    """The rows whose bundles are not all there yet."""

    def __init__(
        self,
        cache: Features,
        grid: Grid[HeadConfig],
        runs: Path,
        *,
        tell: Callable[[object], None],
        command: str | None,
        pause: Callable[[float], None],
    ) -> None:
        """Plan every row; one that cannot be trained is in the table at once, with its reason."""
        self._cache, self._runs, self._command, self._pause = cache, runs, command, pause
        self.table = GridTable(grid, origin_of(cache), runs, tell=tell, recorded=(HeadError, ProtocolError, ResultError))
        self.heads: dict[str, PlannedHead] = {}
        """By the name of the run directory: a head that two rows share is trained once."""
        self._needs: dict[int, set[str]] = {}
        for number, row in enumerate(grid.rows, 1):
            try:
                planned = {head.directory.path.name: head for head in (plan_head(cache, each, runs) for each in row.configs)}
            except (HeadError, ProtocolError, ResultError) as problem:
                self.table.fill(number, partial(_refuse, problem))
                continue
            self.heads |= planned
            self._needs[number] = set(planned)
        self._units: dict[int, set[str]] = {}

    def expect(self, waiting: Iterable[Unit]) -> None:
        """Learn which bundles are still to come; rows that need none of them are finished."""
        units = list(waiting)
        for number, directories in self._needs.items():
            self._units[number] = {unit.name for unit in units if unit.content.directory in directories}
        self._finish([number for number, names in self._units.items() if not names])

    def take(self, name: str) -> None:
        """A bundle is there."""
        ready = [number for number, names in self._units.items() if names == {name}]
        for names in self._units.values():
            names.discard(name)
        self._finish(ready)

    def close(self, failures: Sequence[UnitFailed]) -> None:
        """Give rows whose bundles failed up; those that other ranks still train stay open, if they are not there by now."""
        reasons = {failure.name: failure.reason for failure in failures}
        for number, names in list(self._units.items()):
            failed = sorted(names & reasons.keys())
            self.table.fill(number, self._result, unfinished=reasons[failed[0]] if failed else None)

    def _finish(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            del self._units[number]
            self.table.fill(number, self._result_after_a_while, unfinished="its files do not show on this file system")

    def _result_after_a_while(self, row: GridRow[HeadConfig]) -> Result:
        for seconds in LISTING_SECONDS:
            try:
                return self._result(row)
            except UnfinishedError:
                self._pause(seconds)
        return self._result(row)

    def _result(self, row: GridRow[HeadConfig]) -> Result:
        store = FeatureStore(torch.device("cpu"))
        return train_row(self._cache, row, self._runs, progress=None, command=self._command, store=store, head=finish_head)


def _refuse(problem: Exception, row: GridRow[HeadConfig]) -> Result:
    raise problem
