"""How far the rows of a grid are, from its folder and the run directories beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.results.artefact import folders, inside, listed, newest, number, read_object
from mer.results.names import CONFIG, GRID
from mer.status.cache_status import State
from mer.status.run_status import RunStatus, read_run_status


@dataclass(frozen=True, kw_only=True, slots=True)
class RowStatus:
    """One row of a grid."""

    name: str
    """What the table calls it."""
    state: State
    """Done, too, when it failed."""
    failure: str | None
    """Why there is no result."""
    published_ua: float | None
    """UA that the paper reports, in percent."""
    ua: float | None
    """Ours, mean of folds."""
    runs: tuple[RunStatus, ...]
    """Its run directories, as far as there are any; two for a multi-level row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GridStatus:
    """One grid at one moment."""

    folder: Path
    """Where `grid.json` lies."""
    name: str
    """Name of the grid."""
    corpus: str
    """Name of the corpus."""
    state: State
    """Done when every row is over."""
    rows: tuple[RowStatus, ...]
    """In the order of the grid."""
    last: float | None
    """Last sign of life, in seconds since the epoch."""


def read_grid_status(folder: Path, caches: Path, now: float) -> GridStatus | None:
    """Look at a grid; None when its file is gone or torn.

    Args:
        folder: of `grid.json`, beside the run directories.
        caches: folder of the feature caches.
        now: seconds since the epoch.
    """
    document = read_object(folder / GRID)
    if document is None:
        return None
    beside = {path: values for path in folders(folder.parent) if (values := read_object(path / CONFIG))}
    wanted = [row for row in listed(document, "rows") if isinstance(row, dict)]
    rows = tuple(_row(row, _of_row(row, document, folder.parent, beside), caches, now) for row in wanted)
    signs = [newest([folder / GRID]), *(run.last for row in rows for run in row.runs)]
    return GridStatus(
        folder=folder,
        name=str(inside(document, "grid", "name") or folder.name),
        corpus=str(document.get("corpus")),
        state=_state([row.state for row in rows]),
        rows=rows,
        last=max((sign for sign in signs if sign is not None), default=None),
    )


def _row(row: Mapping[str, Any], directories: Sequence[Path], caches: Path, now: float) -> RowStatus:
    runs = tuple(read_run_status(directory, caches, now) for directory in directories)
    over = row.get("status") in {"done", "failed"}
    ours = number(inside(row, "summary", "all", "ua", "mean_of_folds"))
    if (
        not over and len(listed(row, "configs")) == 1 and runs and runs[0].state == "done"
    ):  # the grid's file is written a little later
        over, ours = True, runs[0].ua
    return RowStatus(
        name=str(row.get("name")),
        state="done" if over else _state([run.state for run in runs if run.state != "done"]),
        failure=None if row.get("failure") is None else str(row["failure"]),
        published_ua=number(row.get("published_ua")),
        ua=ours,
        runs=runs,
    )


def _state(states: Sequence[State]) -> State:
    if states and set(states) == {"done"}:
        return "done"
    order: tuple[State, ...] = ("running", "silent", "stopped")
    for state in order:
        if state in states:
            return state
    return "waiting"


def _of_row(
    row: Mapping[str, Any], document: Mapping[str, Any], runs: Path, beside: Mapping[Path, Mapping[str, Any]]
) -> list[Path]:
    """Run directories of a row: named when it is over, else those of its settings on the grid's cache, the newest of each."""
    if row.get("directory"):
        return [runs / str(row["directory"])]
    found = []
    for wanted in listed(row, "configs"):
        fitting = [path for path, asked in beside.items() if _fits(asked, wanted, document.get("cache_key"))]
        found += sorted(fitting, key=lambda path: newest([path]) or 0.0)[-1:]
    return found


def _fits(asked: Mapping[str, Any], wanted: object, key: object) -> bool:
    config = asked.get("config")
    if asked.get("cache_key") != key or not isinstance(config, dict) or not isinstance(wanted, dict) or not config:
        return False
    # A fine-tuning names its encoders by their weights, so its directory has fewer settings than the row.
    return all(name in wanted and wanted[name] == value for name, value in config.items())
