"""The table of a grid while it fills: what became of each row, on disk after each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from mer.backends import Notice
from mer.files import make_folder
from mer.grids.grid import Config, Grid, GridRow
from mer.grids.grid_events import ComparisonStarted, GridProgress, RowDone
from mer.grids.grid_record import GridOrigin, RowResult, grid_comparisons, grid_document, grid_folder, write_grid
from mer.heads.errors import UnfinishedError
from mer.results import Result
from mer.results.names import GRID
from mer.tracking.errors import TrackingError
from mer.tracking.tracked_result import track_result


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


class GridTable(Generic[Config]):
    """The rows of a grid that are over, in any order, and `grid.json`."""

    def __init__(
        self,
        grid: Grid[Config],
        origin: GridOrigin,
        runs: Path,
        *,
        tell: GridProgress,
        recorded: tuple[type[Exception], ...],
        writes: bool = True,
    ) -> None:
        """Make the folder of `grid.json`.

        Args:
            grid: the table.
            origin: what it is trained on.
            runs: folder of run directories.
            tell: called with what happens.
            recorded: errors that are a row's own; any other ends the grid.
            writes: whether this process writes `grid.json`; of several that train together, one does.
        """
        self.grid, self._origin, self._tell, self._recorded, self._writes = grid, origin, tell, recorded, writes
        self.directory = runs / grid_folder(origin, grid)
        make_folder(self.directory)
        self._done: dict[int, RowResult[Config]] = {}
        if not (self.directory / GRID).exists():
            self._write()

    @property
    def open(self) -> list[int]:
        """Numbers of the rows that are not in it yet, from 1."""
        return [number for number in range(1, len(self.grid.rows) + 1) if number not in self._done]

    def fail(self, number: int, problem: Exception) -> None:
        """Put a row that cannot be trained into the table.

        Args:
            number: of the row, from 1.
            problem: why, which is one of the recorded errors; any other is raised.
        """

        def refuse(number: int, row: GridRow[Config]) -> Result:
            raise problem

        self.fill(number, refuse)

    def fill(self, number: int, train: Callable[[int, GridRow[Config]], Result], *, unfinished: str | None = None) -> None:
        """Put a row into the table.

        Args:
            number: of the row, from 1.
            train: gives its result, from its number and itself.
            unfinished: why runs of the row are not trained, which is then its failure; None leaves such a row open.
        """
        row = self.grid.rows[number - 1]
        try:
            done = RowResult(row=row, result=train(number, row), failure=None)
        except UnfinishedError as problem:
            if unfinished is None:
                return
            done = RowResult(row=row, result=None, failure=f"{problem}: {unfinished}")
        except self._recorded as problem:
            done = RowResult(row=row, result=None, failure=str(problem))
        self._done[number] = done
        self._write()
        self._track(done)
        self._tell(
            RowDone(
                row=number,
                rows=len(self.grid.rows),
                name=row.name,
                reused=done.result is not None and done.result.reused,
                ua=_mean(done, "ua"),
                ccc=_mean(done, "ccc"),
                failure=done.failure,
            )
        )

    def _track(self, done: RowResult[Config]) -> None:
        """Tell the row's tracker what is there; a row whose tracker fails has its result all the same."""
        if done.result is None or not self._writes:
            return
        try:
            for track in dict.fromkeys(config.track for config in done.row.configs):
                track_result(done.result, track)
        except TrackingError as problem:
            self._tell(Notice(text=str(problem)))

    def _write(self) -> None:
        if self._writes:
            write_grid(self.directory, grid_document(self._origin, self.grid, self._done))

    def compare(self) -> GridResult[Config]:
        """Compare the rows that have a result, and end."""
        rows = tuple(done for _, done in sorted(self._done.items()))
        values: Mapping[str, Any] = {}
        if self._writes:
            self._tell(ComparisonStarted(rows=sum(done.result is not None for done in rows)))
            document = grid_document(self._origin, self.grid, self._done)
            values = write_grid(self.directory, {**document, **grid_comparisons(rows)})
        return GridResult(directory=self.directory, rows=rows, values=values)


def _mean(done: RowResult[Config], measure: str) -> float | None:
    """One measure of a row, mean of folds; None where it has none."""
    scores = {} if done.result is None else done.result.values["summary"]["all"]
    return scores[measure]["mean_of_folds"] if measure in scores else None
