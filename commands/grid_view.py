"""The two kinds of grids under a progress bar, in this process or on a backend."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer.commands.backend_options import BackendName, backend_from_options, shard_from_options
from mer.commands.console import progress_bar, say
from mer.commands.corpus_choice import default_classes, find_corpus, kind_of_corpus
from mer.commands.finetune import process_number
from mer.commands.train_head import checked

if TYPE_CHECKING:
    from mer.backends import Backend, Unit
    from mer.cache import FeatureCache
    from mer.corpus import Corpus
    from mer.finetune.config import FinetuneConfig
    from mer.finetune.run import Storage
    from mer.grids.grid import Grid
    from mer.grids.grid_table import GridResult, RowDone
    from mer.heads import HeadConfig

AS_IS = "as-is"
MOST_ON_A_CPU = 8
"""Processes on a CPU by default: each holds PyTorch, half a gigabyte. Also what a cluster is taken for."""
WORTH_PROCESSES = 60.0
"""Seconds of work on a CPU from which it is shared by processes by default."""


@dataclass(frozen=True, kw_only=True)
class WhereItRuns:
    """The options that say where a grid is trained."""

    backend: BackendName
    """--backend."""
    workers: int | None
    """--workers."""
    rank: int | None
    """--shard-rank."""
    world: int | None
    """--shard-world."""
    slurm: Sequence[str] | None
    """--slurm."""
    ray_address: str | None
    """--ray-address."""
    gpus_per_worker: float | None
    """--gpus-per-worker."""
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

        shard = shard_from_options(self.rank, self.world, self.backend)
        engine = backend_from_options(
            backend=self.backend,
            workers=self.workers,
            device=self.device,
            threads=None,
            folder=self.runs,
            slurm=self.slurm,
            ray_address=self.ray_address,
            gpus_per_worker=self.gpus_per_worker,
            cpu_workers=1 if shard else cpu_workers,
        )
        # How many tasks a Ray cluster runs at a time is not known here; bundles are cut for as many as a machine has.
        workers = len(engine.slots()) if isinstance(engine, LocalBackend) else self.workers or MOST_ON_A_CPU
        if isinstance(engine, LocalBackend) and workers == 1 and shard is None:
            return None, 1
        return engine, workers * (shard[1] if shard else 1)

    def own(self, units: "Sequence[Unit]") -> "Iterable[Unit]":
        """Those units of all that are this command's."""
        from mer.backends import own_share

        shard = shard_from_options(self.rank, self.world, self.backend)
        return own_share(units, *shard) if shard else units


def head_grid(
    name: str, overrides: "Mapping[str, Any]", cache: Path, where: WhereItRuns, quiet: bool
) -> "GridResult[HeadConfig]":
    """Train a grid of heads on cached features."""
    from mer.backends.local import cores
    from mer.cache import open_cache
    from mer.grids.grid_check import check_grid
    from mer.grids.grid_cost import guessed_seconds
    from mer.grids.grid_file import read_grid

    features = checked(open_cache(cache), quiet)
    fallbacks = {"classes": default_classes(features.spec["corpus"]["kind"])}
    grid = read_grid(name, fallbacks=fallbacks, overrides=overrides)
    check_grid(features, grid)
    # Processes take seconds to start.
    several = len(grid.rows) > 1 and guessed_seconds(features, grid) > WORTH_PROCESSES
    engine, workers = where.engine(min(cores(), MOST_ON_A_CPU) if several else 1)
    if engine is None:
        return run_with_bar(features, grid, where.runs, quiet)
    return launch_with_bar(features, grid, where, engine, workers, quiet)


def finetune_grid(
    name: str,
    overrides: "Mapping[str, Any]",
    corpus: Path | None,
    where: WhereItRuns,
    quiet: bool,
    *,
    weights: bool,
    resume: bool,
) -> "GridResult[FinetuneConfig]":
    """Fine-tune the rows of a grid, each by all processes of a launcher, or each by a worker of its own."""
    from mer.finetune.run import Storage
    from mer.grids.finetune_grid import FINETUNE_GRIDS
    from mer.grids.grid_file import read_grid_of

    fallbacks = {"classes": default_classes(kind_of_corpus(corpus))}
    grid = read_grid_of(FINETUNE_GRIDS, name, fallbacks=fallbacks, overrides=overrides)
    wanted = {config.classes for row in grid.rows for config in row.configs}
    found = find_corpus(corpus, None, wanted.pop() if len(wanted) == 1 else AS_IS, 0)
    storage = Storage(runs=where.runs, weights=weights, resume=resume)
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun and accelerate set it
    engine = None if launched else where.engine(1)[0]
    if engine is None:
        return run_rows_with_bar(found, grid, storage, quiet)
    return launch_rows_with_bar(found, grid, storage, where, engine, quiet)


def run_rows_with_bar(
    corpus: "Corpus", grid: "Grid[FinetuneConfig]", storage: "Storage", quiet: bool
) -> "GridResult[FinetuneConfig]":
    """Fine-tune one row after the other."""
    from mer.commands.finetune import FinetuneView
    from mer.grids.finetune_grid import run_finetune_grid
    from mer.grids.finetune_meter import FinetuneMeter
    from mer.grids.grid_table import ComparisonStarted, RowDone, RowStarted

    silent = quiet or process_number() > 0
    meter, view = FinetuneMeter(), FinetuneView("", silent)
    with progress_bar("grid", silent) as bar:

        def show(event: Any) -> None:
            meter.take(event)
            match event:
                case RowStarted():
                    view.row, view.below = f"{event.row}/{event.rows} {event.name}", ()
                case RowDone():
                    say(outcome(event), silent)
                case ComparisonStarted():
                    view.row, view.detail, view.below = f"comparing {event.rows} rows", "", ()
                case _:
                    view.take(event)
            bar.update(meter.done, meter.total, view.row, view.below)

        return run_finetune_grid(corpus, grid, storage, progress=show, command=command_line())


def run_with_bar(features: "FeatureCache", grid: "Grid[HeadConfig]", runs: Path, quiet: bool) -> "GridResult[HeadConfig]":
    """Train a grid under one progress bar over all its rows."""
    from mer.grids.grid_meter import GridMeter
    from mer.grids.grid_runner import run_grid
    from mer.grids.grid_table import ComparisonStarted, RowDone, RowStarted
    from mer.heads import EpochDone, RunDone, StackHalved, StatisticsProgress, TrainingStarted

    meter = GridMeter()
    with progress_bar("grid", quiet) as bar:
        row, detail = "", ""

        def show(event: Any) -> None:
            nonlocal row, detail
            meter.take(event)
            match event:
                case RowStarted():
                    row = detail = f"{event.row}/{event.rows} {event.name}"
                case TrainingStarted():
                    kept = f" ({event.finished} finished before)" if event.finished else ""
                    say(f"{row}: {event.runs} runs{kept}, {event.stack} at once on {event.device}; {event.features}", quiet)
                case StatisticsProgress():
                    detail = f"{row} statistics of {event.granularity}"
                case EpochDone():
                    detail = f"{row} {event.over}/{event.runs} runs"
                case RunDone() if event.failure:
                    say(f"{row}: a run failed: {event.failure}", quiet)
                case StackHalved():
                    say(f"{row}: memory ran out; {event.runs} runs at once from now on", quiet)
                case RowDone():
                    say(outcome(event), quiet)
                case ComparisonStarted():
                    detail = f"comparing {event.rows} rows"
                case _:
                    pass
            bar.update(meter.done, meter.total, detail)

        return run_grid(features, grid, runs, progress=show, command=command_line())


def launch_with_bar(
    features: "FeatureCache", grid: "Grid[HeadConfig]", where: WhereItRuns, engine: "Backend", workers: int, quiet: bool
) -> "GridResult[HeadConfig]":
    """Train a grid in bundles of runs on a backend."""
    from mer.cache import open_cache
    from mer.grids.grid_launch import JobsPlanned, launch_grid
    from mer.grids.head_work import JobEvent
    from mer.grids.job_meter import JobMeter
    from mer.heads import RunDone

    meter = JobMeter()
    share = f"{workers} workers" if where.backend == "local" or where.workers else f"on {where.backend}"
    with progress_bar("grid", quiet) as bar:

        def show(event: Any) -> None:
            meter.take(event)
            match event:
                case JobsPlanned():
                    others = f", {event.others} with other ranks" if event.others else ""
                    say(f"{len(grid.rows)} rows: {len(event.costs)} bundles of runs to train{others}, {share}", quiet)
                case JobEvent(event=RunDone(failure=str() as failure)):
                    say(f"{event.unit}: a run failed: {failure}", quiet)
                case _:
                    say_what_happened(event, quiet)
            bar.update(meter.done, meter.total, f"{meter.over}/{meter.jobs} bundles")

        return launch_grid(
            features,
            grid,
            where.runs.absolute(),
            backend=engine,
            open_features=partial(open_cache, features.folder.path.absolute()),
            workers=workers,
            own=where.own,
            progress=show,
            command=command_line(),
        )


def launch_rows_with_bar(
    corpus: "Corpus", grid: "Grid[FinetuneConfig]", storage: "Storage", where: WhereItRuns, engine: "Backend", quiet: bool
) -> "GridResult[FinetuneConfig]":
    """Fine-tune each row on one device of a backend."""
    from mer.backends import UnitDone, UnitFailed
    from mer.grids.finetune_grid import launch_finetune_grid

    over = 0
    with progress_bar("grid", quiet) as bar:

        def show(event: Any) -> None:
            nonlocal over
            over += isinstance(event, UnitDone | UnitFailed)
            say_what_happened(event, quiet)
            bar.update(over, len(grid.rows), f"{over}/{len(grid.rows)} rows")

        absolute = replace(storage, runs=storage.runs.absolute())
        return launch_finetune_grid(corpus, grid, absolute, backend=engine, own=where.own, progress=show, command=command_line())


def say_what_happened(event: object, quiet: bool) -> None:
    """A line for what everybody wants to know of a launched grid."""
    from mer.backends import Notice, UnitFailed, WorkerLost
    from mer.grids.grid_table import RowDone

    match event:
        case RowDone():
            say(outcome(event), quiet)
        case UnitFailed():
            say(f"{event.name}: failed after {event.tries} tries: {event.reason}", quiet)
        case WorkerLost():
            say(f"a worker was lost: {event.reason}", quiet)
        case Notice():
            say(event.text, quiet)
        case _:
            pass


def outcome(done: "RowDone") -> str:
    """A line on a row that is over."""
    what = f"failed: {done.failure}" if done.ua is None else f"UA {100 * done.ua:.2f}"
    return f"{done.row}/{done.rows} {done.name}: {what}{', finished before' if done.reused else ''}"


def command_line() -> str:
    """As it was given, for the provenance."""
    return " ".join(["mer", *sys.argv[1:]])
