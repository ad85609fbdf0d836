"""Trains the rows of a grid one after the other, resumably, and compares them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, runtime_checkable

from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.feature_store import FeatureStore
from mer.heads.features import Features
from mer.heads.grid import Config, Grid, GridRow
from mer.heads.grid_check import check_grid
from mer.heads.grid_cost import row_costs
from mer.heads.grid_record import GridOrigin, RowResult, grid_comparisons, grid_document, grid_folder, write_grid
from mer.heads.multi_level import train_multi_level
from mer.heads.progress import Event
from mer.heads.train_head import Result, open_store, train_head
from mer.protocol import ProtocolError


@dataclass(frozen=True, kw_only=True)
class GridStarted:
    """Sent once, before the first row."""

    costs: tuple[float, ...]
    """Work of each row, finished or not; only the ratios mean anything."""


@dataclass(frozen=True, kw_only=True)
class RowStarted:
    """A row begins; what its training reports follows."""

    row: int
    """Number of the row, from 1."""
    rows: int
    """Rows of the grid."""
    name: str
    """What the table calls it."""
    parts: int
    """Heads of the row: two for a multi-level one."""


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
    """UA, mean of folds; None when the row failed."""
    failure: str | None
    """Why the row failed."""


@dataclass(frozen=True, kw_only=True)
class ComparisonStarted:
    """All rows are over, and the finished ones are compared: seconds for each, on a large corpus."""

    rows: int
    """Finished rows."""


GridEvent = GridStarted | RowStarted | RowDone | ComparisonStarted | Event
GridProgress = Callable[[GridEvent], None]


@dataclass(frozen=True, kw_only=True)
class GridResult(Generic[Config]):
    """A table that is as finished as it can be."""

    directory: Path
    """Where `grid.json` is."""
    rows: tuple[RowResult[Config], ...]
    """In the order of the grid."""
    values: Mapping[str, Any]
    """What `grid.json` holds."""

    @property
    def failed(self) -> bool:
        """Whether a row, or a run of one, failed."""
        return any(row.result is None or row.result.values["failed_runs"] for row in self.rows)


@runtime_checkable
class RowTrainer(Protocol):
    """Trains one row, or finds its result."""

    def __call__(
        self,
        cache: Features,
        row: GridRow[HeadConfig],
        runs: Path,
        *,
        progress: Callable[[Event], None] | None,
        command: str | None,
        store: FeatureStore,
    ) -> Result:
        """The result of the row in its own run directory."""
        ...


def train_row(
    cache: Features,
    row: GridRow[HeadConfig],
    runs: Path,
    *,
    progress: Callable[[Event], None] | None,
    command: str | None,
    store: FeatureStore,
) -> Result:
    """Train one row: a head, or both heads of a multi-level row and the average of their logits."""
    if row.multi_level:
        coattention, late = row.configs
        return train_multi_level(cache, coattention, late, runs, progress=progress, command=command, store=store)
    return train_head(cache, row.configs[0], runs, progress=progress, command=command, store=store)


def run_grid(
    cache: Features,
    grid: Grid[HeadConfig],
    runs: Path,
    *,
    progress: GridProgress | None = None,
    command: str | None = None,
    train: RowTrainer = train_row,
) -> GridResult[HeadConfig]:
    """Train every row of `grid`, and write `runs/<corpus>-<grid>-<digest>/grid.json` after each.

    Rows are results like any other: what an earlier command or another grid has finished is taken as it is, and an
    interrupted grid goes on where it stopped. A row that cannot be trained is recorded with its reason, and the
    others go on.

    Args:
        cache: the feature cache.
        grid: the table.
        runs: folder of run directories.
        progress: called with what happens.
        command: the command line, for each row's `provenance.json`.
        train: trains one row.

    Raises:
        GridError: a granularity, layer or session that a row needs and the cache does not hold; before anything
            is trained.
        HeadError: a device that is not there.
    """
    tell = progress or (lambda event: None)
    check_grid(cache, grid)
    stores = _stores(grid)
    tell(GridStarted(costs=tuple(row_costs(cache, grid))))

    def train_one(row: GridRow[HeadConfig]) -> Result:
        return train(cache, row, runs, progress=tell, command=command, store=stores[_memory(row)])

    table = cache.utterances
    origin = GridOrigin(
        corpus=cache.spec["corpus"]["name"],
        synthetic=cache.synthetic,
        key=cache.key,
        ids=tuple(table.ids),
        labels=tuple(table.labels),
    )
    return run_rows(grid, origin, runs, train_one, tell=tell, recorded=(HeadError, ProtocolError))


def run_rows(
    grid: Grid[Config],
    origin: GridOrigin,
    runs: Path,
    train: Callable[[GridRow[Config]], Result],
    *,
    tell: Callable[[GridEvent], None],
    recorded: tuple[type[Exception], ...],
    writes: bool = True,
) -> GridResult[Config]:
    """Train the rows of any kind of grid in their order, and write `grid.json` after each.

    Args:
        grid: the table.
        origin: what it is trained on.
        runs: folder of run directories.
        train: the result of one row.
        tell: called with what happens.
        recorded: errors of `train` that are a row's own; any other ends the grid.
        writes: whether this process writes `grid.json`; of several that train together, one does.
    """
    directory = runs / grid_folder(origin, grid)
    directory.mkdir(parents=True, exist_ok=True)
    done: list[RowResult[Config]] = []
    for number, row in enumerate(grid.rows, 1):
        tell(RowStarted(row=number, rows=len(grid.rows), name=row.name, parts=len(row.configs)))
        try:
            done.append(RowResult(row=row, result=train(row), failure=None))
        except recorded as problem:
            done.append(RowResult(row=row, result=None, failure=str(problem)))
        if writes:
            write_grid(directory, grid_document(origin, grid, done))
        tell(_row_done(number, len(grid.rows), done[-1]))
    if not writes:
        return GridResult(directory=directory, rows=tuple(done), values={})
    tell(ComparisonStarted(rows=sum(each.result is not None for each in done)))
    values = write_grid(directory, {**grid_document(origin, grid, done), **grid_comparisons(done)})
    return GridResult(directory=directory, rows=tuple(done), values=values)


def _memory(row: GridRow[HeadConfig]) -> tuple[str, float | None, float | None]:
    config = row.configs[0]
    return config.device, config.ram_gib, config.device_memory_gib


def _stores(grid: Grid[HeadConfig]) -> dict[tuple[str, float | None, float | None], FeatureStore]:
    """One store for all rows that share a device and its limits, so that features are loaded once."""
    return {_memory(row): open_store(row.configs[0]) for row in grid.rows}


def _row_done(number: int, rows: int, done: RowResult[Config]) -> RowDone:
    return RowDone(
        row=number,
        rows=rows,
        name=done.row.name,
        reused=done.result is not None and done.result.reused,
        ua=None if done.result is None else done.result.values["summary"]["all"]["ua"]["mean_of_folds"],
        failure=done.failure,
    )
