"""Trains the rows of a grid one after the other, resumably, and compares them."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.feature_store import FeatureStore
from mer.heads.features import Features
from mer.heads.grid import Config, Grid, GridRow
from mer.heads.grid_check import check_grid
from mer.heads.grid_cost import row_costs
from mer.heads.grid_record import GridOrigin
from mer.heads.grid_table import GridProgress, GridResult, GridStarted, GridTable, RowStarted
from mer.heads.multi_level import train_multi_level
from mer.heads.progress import Event
from mer.heads.train_head import HeadTrainer, open_store, train_head
from mer.protocol import ProtocolError
from mer.results import Result
from mer.results.errors import ResultError


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
    head: HeadTrainer = train_head,
) -> Result:
    """Train one row: a head, or both heads of a multi-level row and the average of their logits; `head` does each."""
    if row.multi_level:
        coattention, late = row.configs
        return train_multi_level(cache, coattention, late, runs, progress=progress, command=command, store=store, train=head)
    return head(cache, row.configs[0], runs, progress=progress, command=command, store=store)


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

    table = GridTable(grid, origin_of(cache), runs, tell=tell, recorded=(HeadError, ProtocolError, ResultError))
    return run_rows(table, train_one, tell=tell)


def run_rows(table: GridTable[Config], train: Callable[[GridRow[Config]], Result], *, tell: GridProgress) -> GridResult[Config]:
    """Train the rows of any kind of grid in their order.

    Args:
        table: of the grid.
        train: the result of one row.
        tell: called with what happens.
    """
    rows = table.grid.rows
    for number, row in enumerate(rows, 1):
        tell(RowStarted(row=number, rows=len(rows), name=row.name, parts=len(row.configs)))
        table.fill(number, train)
    return table.compare()


def origin_of(cache: Features) -> GridOrigin:
    """What the rows of a grid of heads are trained on."""
    utterances = cache.utterances
    return GridOrigin(
        corpus=cache.spec["corpus"]["name"],
        synthetic=cache.synthetic,
        key=cache.key,
        ids=tuple(utterances.ids),
        labels=tuple(utterances.labels),
    )


def _memory(row: GridRow[HeadConfig]) -> tuple[str, float | None, float | None]:
    config = row.configs[0]
    return config.device, config.ram_gib, config.device_memory_gib


def _stores(grid: Grid[HeadConfig]) -> dict[tuple[str, float | None, float | None], FeatureStore]:
    """One store for all rows that share a device and its limits, so that features are loaded once."""
    return {_memory(row): open_store(row.configs[0]) for row in grid.rows}
