"""Grids of heads on a feature cache: their rows as bundles of runs."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from mer.backends import Task
from mer.backends.agreement import versions
from mer.backends.device import training_device
from mer.grids.grid import Grid, GridRow
from mer.grids.grid_check import check_grid
from mer.grids.grid_record import GridOrigin
from mer.grids.grid_table import GridTable
from mer.grids.head_jobs import head_jobs, whole_heads
from mer.grids.head_work import HEAD_ERRORS, HeadWork
from mer.grids.run_grid import GridTask
from mer.heads.config import HeadConfig
from mer.heads.features.features import Features
from mer.heads.training.multi_level import average_heads, check_same_protocol
from mer.heads.training.planned_head import PlannedHead, RunKey, plan_head
from mer.heads.training.train_head import finish_head
from mer.results import Result
from mer.tracking.trackers import check_tracking


class HeadTasks:
    """How rows of heads are trained: a head's runs in one stack by this process, or in bundles by workers."""

    recorded = HEAD_ERRORS
    writes = True

    def __init__(
        self,
        cache: Features,
        runs: Path | str,
        *,
        workers: int = 1,
        open_features: Callable[[], Features] | None = None,
        command: str | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            cache: the feature cache.
            runs: folder of run directories, which every worker reaches by this path.
            workers: that share the bundles, over all ranks.
            open_features: opens the cache in a worker, and can be pickled; None for this process alone.
            command: the command line, for the provenance of each head.
        """
        self.runs = Path(runs)
        self._cache, self._workers, self._command = cache, workers, command
        self._here, self._open = open_features is None, open_features or (lambda: cache)
        self._heads: dict[str, PlannedHead] = {}
        """By the name of the run directory: a head that two rows share is trained once."""
        self._pending: dict[str, list[RunKey]] = {}

    @property
    def origin(self) -> GridOrigin:
        """The cache."""
        utterances = self._cache.utterances
        return GridOrigin(
            corpus=self._cache.spec["corpus"]["name"],
            synthetic=self._cache.synthetic,
            key=self._cache.key,
            ids=tuple(utterances.ids),
            labels=tuple(utterances.labels),
        )

    def check(self, grid: Grid[HeadConfig]) -> None:
        """Refuse what the cache does not hold, and devices that this process is to use and that are not there."""
        check_grid(self._cache, grid)
        for config in (config for row in grid.rows for config in row.configs):
            check_tracking(config.track)
        if self._here:
            for device in dict.fromkeys(config.device for row in grid.rows for config in row.configs):
                training_device(device)

    def plan(self, table: GridTable[HeadConfig]) -> list[GridTask]:
        """Bundles of runs: whole heads in the order of the rows for this process, the largest first for several workers."""
        rows: dict[str, list[int]] = {}
        for number, row in enumerate(table.grid.rows, 1):
            try:
                if row.multi_level:
                    check_same_protocol(*row.configs)
                planned = [plan_head(self._cache, config, self.runs) for config in row.configs]
            except HEAD_ERRORS as problem:
                table.fail(number, problem)
                continue
            for head in planned:
                self._heads.setdefault(head.directory.path.name, head)
                rows.setdefault(head.directory.path.name, []).append(number)
        heads = list(self._heads.values())
        self._pending = {name: head.pending() for name, head in self._heads.items()}
        tasks = whole_heads(heads) if self._here else head_jobs(heads, workers=self._workers)
        return [self._task(task, rows[task.content.directory]) for task in tasks]

    def _task(self, task: Task, rows: Sequence[int]) -> GridTask:
        keys = task.content.keys
        runs = len(set(keys).intersection(self._pending[task.content.directory]))
        return GridTask(task=task, rows=tuple(rows), runs=runs, left=runs / len(keys))

    def begin(self, tasks: Collection[Task]) -> None:
        """Keep the command of heads that workers begin."""
        if not self._here:  # else noted as each is begun
            for name in dict.fromkeys(task.content.directory for task in tasks):
                self._heads[name].note_start(self._command, self._heads[name].config.device)

    def work(self) -> HeadWork:
        """Training of bundles."""
        return HeadWork(
            open_features=self._open,
            key=self._cache.key,
            runs=self.runs,
            versions=versions(),
            here=self._here,
            command=self._command,
        )

    def result(self, number: int, row: GridRow[HeadConfig]) -> Result:
        """The head's; of a multi-level row the average of two heads' logits."""
        parts = [finish_head(plan_head(self._cache, config, self.runs)) for config in row.configs]
        if not row.multi_level:
            return parts[0]
        coattention, late = row.configs
        return average_heads(self._cache, coattention, late, self.runs, parts, command=self._command)
