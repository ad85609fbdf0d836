"""The two kinds of grids under a progress bar, in this process or on a backend."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mer.commands.backend_options import AnyBackend
from mer.commands.console import progress_bar, say
from mer.commands.corpus_choice import HowTablesAreRead, classes_of, find_corpus
from mer.commands.finetune import FinetuneView, process_number
from mer.commands.train_head import checked, refuse_missing_tiers

if TYPE_CHECKING:
    from mer.backends import Backend, Task
    from mer.finetune.config import FinetuneConfig
    from mer.grids.grid import Grid
    from mer.grids.grid_events import RowDone, TaskEvent, TasksPlanned
    from mer.grids.grid_meter import GridMeter
    from mer.grids.grid_table import GridResult
    from mer.grids.run_grid import RowTasks
    from mer.heads import HeadConfig

MOST_ON_A_CPU = 8
"""Processes on a CPU by default: each holds PyTorch, half a gigabyte. Also what a cluster is taken for."""
WORTH_PROCESSES = 60.0
"""Seconds of work on a CPU from which it is shared by processes by default."""


@dataclass(frozen=True, kw_only=True)
class GridPlace:
    """Where a grid is trained."""

    backend: AnyBackend
    """The options that say it."""
    device: str
    """--device."""
    runs: Path
    """--runs."""

    def engine(self, cpu_workers: int) -> "tuple[Backend | None, int]":
        """The backend, None for this process alone, and how many workers share the work in all.

        Raises:
            BackendError: options that do not fit together.
        """
        from mer.backends import LocalBackend

        shard = self.backend.shard
        cpu_workers = 1 if shard else cpu_workers
        engine = self.backend.engine(device=self.device, threads=None, folder=self.runs, cpu_workers=cpu_workers)
        # How many tasks a Ray cluster runs at a time is not known here; bundles are cut for as many as a machine has.
        workers = len(engine.slots()) if isinstance(engine, LocalBackend) else self.backend.workers or MOST_ON_A_CPU
        if isinstance(engine, LocalBackend) and workers == 1 and shard is None:
            return None, 1
        return engine, workers * (shard[1] if shard else 1)

    def shared_by(self, engine: "Backend | None", workers: int) -> str | None:
        """Who shares the work, in words; None for this process alone."""
        if engine is None:
            return None
        named = self.backend.backend
        return f"{workers} workers" if named == "local" or self.backend.workers else f"on {named}"

    def options(self, engine: "Backend | None") -> dict[str, Any]:
        """The backend, and what is this command's share, as `run_grid` takes them."""
        return {} if engine is None else {"backend": engine, "own": self.own}

    def own(self, tasks: "Sequence[Task]") -> "Iterable[Task]":
        """Those tasks of all that are this command's."""
        from mer.backends import own_share

        shard = self.backend.shard
        return own_share(tasks, *shard) if shard else tasks


def head_grid(
    name: str, overrides: "Mapping[str, Any]", cache: Path, where: GridPlace, quiet: bool, *, allow_missing: bool
) -> "GridResult[HeadConfig]":
    """Train a grid of heads on cached features."""
    from mer.backends.local import cores
    from mer.cache import open_features
    from mer.grids.grid_check import check_grid, grid_in_cache
    from mer.grids.grid_cost import guessed_seconds
    from mer.grids.grid_file import read_grid
    from mer.grids.grid_meter import GridMeter, head_meters
    from mer.grids.head_tasks import HeadTasks
    from mer.protocol.classes import usual_classes

    features = checked(open_features(cache), quiet)
    fallbacks = {"classes": usual_classes(features.spec["corpus"]["kind"])}
    grid = grid_in_cache(read_grid(name, fallbacks=fallbacks, overrides=overrides), features)
    check_grid(features, grid)
    if not allow_missing:
        refuse_missing_tiers(features, {branch for row in grid.rows for branch in row.branches})
    # Processes take seconds to start.
    several = len(grid.rows) > 1 and guessed_seconds(features, grid) > WORTH_PROCESSES
    engine, workers = where.engine(min(cores(), MOST_ON_A_CPU) if several else 1)
    kind = HeadTasks(
        features,
        where.runs.absolute() if engine else where.runs,
        workers=workers,
        open_features=partial(open_features, features.path.absolute()) if engine else None,
        command=command_line(),
    )
    view_of = partial(HeadView, quiet=quiet, alone=engine is None)
    view = GridView(grid, view_of, quiet, tasks="bundles of runs", shared_by=where.shared_by(engine, workers))
    return run_with_bar(grid, kind, GridMeter(head_meters()), view, quiet, **where.options(engine))


def finetune_grid(
    name: str,
    overrides: "Mapping[str, Any]",
    corpus: Path | None,
    tables: HowTablesAreRead,
    where: GridPlace,
    quiet: bool,
    *,
    weights: bool,
    resume: bool,
) -> "GridResult[FinetuneConfig]":
    """Fine-tune the rows of a grid, each by all processes of a launcher, or each by a worker of its own."""
    from mer.finetune.meter import FinetuneMeter
    from mer.finetune.run import Storage
    from mer.grids.finetune_grid import FINETUNE_GRIDS
    from mer.grids.finetune_tasks import FinetuneTasks
    from mer.grids.grid_file import read_grid_of
    from mer.grids.grid_meter import GridMeter

    fallbacks = {"classes": classes_of(corpus)}
    grid = read_grid_of(FINETUNE_GRIDS, name, fallbacks=fallbacks, overrides=overrides)
    wanted = {config.classes for row in grid.rows for config in row.configs}
    found = find_corpus(corpus, None, wanted.pop() if len(wanted) == 1 else "as-is", 0, tables)
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun and accelerate set it
    engine, workers = (None, 1) if launched else where.engine(1)
    storage = Storage(runs=where.runs.absolute() if engine else where.runs, weights=weights, resume=resume)
    kind = FinetuneTasks(found, storage, command=command_line(), elsewhere=engine is not None)
    silent = quiet or process_number() > 0
    view_of = partial(FinetuneView, quiet=silent)
    view = GridView(grid, view_of, silent, tasks="rows", shared_by=where.shared_by(engine, workers))
    return run_with_bar(grid, kind, GridMeter(lambda task: FinetuneMeter()), view, silent, **where.options(engine))


def run_with_bar(
    grid: "Grid[Any]", kind: "RowTasks[Any]", meter: "GridMeter", view: "GridView", quiet: bool, **where: Any
) -> "GridResult[Any]":
    """Train a grid of any kind under one progress bar over all its rows."""
    from mer.grids.run_grid import run_grid

    with progress_bar("grid", quiet) as bar:

        def show(event: object) -> None:
            meter.take(event)
            view.take(event)
            bar.update(meter.done, meter.total, view.detail or f"{meter.over}/{meter.tasks} {view.tasks}", view.below)

        return run_grid(grid, kind, progress=show, **where)


@runtime_checkable
class TaskView(Protocol):
    """What is said of one task."""

    detail: str
    """Beside the bar."""
    below: tuple[str, ...]
    """Below the bar."""

    def take(self, event: Any) -> None:
        """Learn from an event of its training, and say what is to be said."""
        ...


class HeadView:
    """What is said while a head is trained."""

    def __init__(self, title: str, quiet: bool, *, alone: bool) -> None:
        """Nothing has happened.

        Args:
            title: begins every message.
            quiet: no messages.
            alone: whether it is the only one that is trained at a time; of bundles only troubles are told.
        """
        self._title, self._quiet, self._alone = title, quiet, alone
        self.detail = ""
        self.below: tuple[str, ...] = ()

    def take(self, event: Any) -> None:
        """Learn from an event of training."""
        from mer.heads import EpochDone, RunDone, StackHalved, StatisticsProgress, TrainingStarted

        match event:
            case TrainingStarted() if self._alone:
                kept = f" ({event.finished} finished before)" if event.finished else ""
                self._say(f"{event.runs} runs{kept}, {event.stack} at once on {event.device}; {event.features}")
                for note in event.notes:
                    self._say(f"note: {note}")
            case StatisticsProgress():
                self.detail = f"statistics of {event.granularity}"
            case EpochDone():
                self.detail = f"{event.over}/{event.runs} runs"
            case RunDone() if event.failure:
                self._say(f"a run failed: {event.failure}")
            case StackHalved():
                self._say(f"memory ran out; {event.runs} runs at once from now on")
            case _:
                pass

    def _say(self, text: str) -> None:
        say(f"{self._title}: {text}", self._quiet)


class GridView:
    """What is said while a grid is trained: the detail of the bar, the lines below it, and messages."""

    def __init__(
        self, grid: "Grid[Any]", view_of: "Callable[[str], TaskView]", quiet: bool, *, tasks: str, shared_by: str | None
    ) -> None:
        """Nothing has happened.

        Args:
            grid: the table.
            view_of: what is said of a task, from what it is called.
            quiet: no messages.
            tasks: what tasks are called.
            shared_by: who shares them; None for this process alone.
        """
        self.tasks, self._grid, self._view_of, self._quiet, self._shared_by = tasks, grid, view_of, quiet, shared_by
        self.detail = ""
        """Beside the bar; empty where tasks are done side by side."""
        self.below: tuple[str, ...] = ()
        """Below the bar."""
        self._titles: dict[str, str] = {}
        self._views: dict[str, TaskView] = {}

    def take(self, event: Any) -> None:
        """Learn from an event, and say what is to be said."""
        from mer.backends import Notice, TaskFailed, WorkerLost
        from mer.grids.grid_events import ComparisonStarted, RowDone, TaskEvent, TasksPlanned

        match event:
            case TasksPlanned():
                self._plan(event)
            case TaskEvent():
                self._follow(event)
            case TaskFailed() if self._shared_by:
                self._say(f"{event.name}: failed after {event.tries} tries: {event.reason}")
            case WorkerLost():
                self._say(f"a worker was lost: {event.reason}")
            case Notice():
                self._say(event.text)
            case RowDone():
                self._say(outcome(event))
            case ComparisonStarted():
                self.detail, self.below = f"comparing {event.rows} rows", ()
            case _:
                pass

    def _plan(self, event: "TasksPlanned") -> None:
        rows = self._grid.rows
        for task in event.tasks:
            row = f"{task.row}/{len(rows)} {rows[task.row - 1].name}"
            self._titles[task.name] = task.name if self._shared_by and self.tasks != "rows" else row
        if self._shared_by:
            others = f", {event.others} with other ranks" if event.others else ""
            self._say(f"{len(rows)} rows: {len(event.tasks)} {self.tasks} to train{others}, {self._shared_by}")

    def _follow(self, event: "TaskEvent") -> None:
        if event.task not in self._views:
            self._views[event.task] = self._view_of(self._titles[event.task])
        view = self._views[event.task]
        view.take(event.event)
        if not self._shared_by:
            self.detail, self.below = f"{self._titles[event.task]} {view.detail}", view.below

    def _say(self, text: str) -> None:
        say(text, self._quiet)


def outcome(done: "RowDone") -> str:
    """A line on a row that is over."""
    scores = {"UA": done.ua, "CCC": done.ccc}
    told = [f"{name} {100 * value:.2f}" for name, value in scores.items() if value is not None]
    what = ", ".join(told) or f"failed: {done.failure}"
    return f"{done.row}/{done.rows} {done.name}: {what}{', finished before' if done.reused else ''}"


def command_line() -> str:
    """As it was given, for the provenance."""
    return " ".join(["mer", *sys.argv[1:]])
