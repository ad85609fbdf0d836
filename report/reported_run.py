"""One run directory, with whatever it has."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mer.protocol.dimensions import dimensions_of
from mer.report.errors import ReportError
from mer.report.setup_note import left_out_for_text, setup_text
from mer.report.tables import counted
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, check_files
from mer.results.metrics_log import MetricsLog, read_metrics
from mer.results.names import CONFIG, GRID, METRICS, PREDICTIONS, RESULT, STARTS, corpus_of_folder
from mer.results.row_names import NamedRow, head_name, row_names
from mer.results.run_files import (
    CURE,
    PredictionRow,
    read_config,
    read_grid,
    read_json,
    read_predictions,
    read_result,
    read_starts,
)

Status = Literal["done", "unfinished"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportedRun:
    """A row of a table: a head with all its folds and seeds."""

    directory: Path
    """Where it lies."""
    name: str
    """Head and granularities, and what tells it from the others: `late F+S+T, hidden 256`; or what a grid calls it."""
    status: Status
    """Whether `result.json` is there."""
    corpus: str
    """Name of the corpus."""
    synthetic: bool | None
    """Whether its speech is synthetic; None where an unfinished run does not say."""
    classes: tuple[str, ...]
    """Class names in order, or dimensions of ratings; empty where an unfinished run has none yet."""
    config: Mapping[str, Any]
    """What was asked for, as in `config.json`."""
    asked: Mapping[str, Any]
    """`config.json`; empty where it is gone."""
    result: Mapping[str, Any]
    """`result.json`; empty for an unfinished run."""
    provenance: tuple[Mapping[str, Any], ...]
    """Versions and command of each start."""
    metrics: MetricsLog
    """Epochs."""
    predictions: tuple[PredictionRow, ...]
    """Test utterances of every finished run; none of ratings."""
    finished: int
    """(fold, seed) that have ended."""
    published: Mapping[str, float]
    """A paper's `ua` and `wa` in percent, where they are known."""
    paper: str
    """Which paper and table they are of; empty where none is named."""
    paper_seeds: int | None = None
    """Seeds that each figure is the mean of; None where that is not known."""
    setup: str | None = None
    """Why a paper's figures do not stand here: `differs in: n`; empty where the set-up is the paper's, None if unchecked."""

    @property
    def rated(self) -> bool:
        """Whether ratings are predicted, not classes."""
        return bool(dimensions_of(self.config))

    @property
    def left_out(self) -> str:
        """What training lost for `--text-disjoint`, by test session; empty for other runs."""
        return left_out_for_text(self.result)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know about the files."""
        found = []
        if self.status == "unfinished":
            ended, epochs = counted(self.finished, "run"), counted(len(self.metrics.epochs), "epoch")
            found.append(f"not finished: {ended} {'has' if self.finished == 1 else 'have'} ended, {epochs} logged")
        found += self.metrics.notes
        found += [f"failed run: fold {fold} seed {seed}: {why}" for (fold, seed), why in self.failures.items()]
        return tuple([*found, self.metrics.pairs] if self.metrics.pairs else found)

    @property
    def failures(self) -> Mapping[tuple[str, int], str]:
        """(fold, seed) that ended without a number, and why."""
        if self.status == "unfinished":
            return self.metrics.failed
        return {(str(each["fold"]), int(each["seed"])): str(each["reason"]) for each in self.result.get("failed_runs", [])}

    @property
    def kept_epochs(self) -> Mapping[tuple[str, int], int]:
        """Epoch whose weights were kept and tested, of every (fold, seed) that has ended."""
        if self.status == "unfinished":
            return self.metrics.kept
        return {(str(each["fold"]), int(each["seed"])): int(each["best_epoch"]) for each in self.result["runs"]}


class _Place(NamedTuple):
    """A run directory, and what a grid says of it."""

    directory: Path
    name: str | None = None
    published: Mapping[str, float] = {}
    paper: str = ""
    paper_seeds: int | None = None
    setup: str | None = None


def find_runs(paths: tuple[Path, ...]) -> list[ReportedRun]:
    """All runs at the given places, each once, in the order given.

    Args:
        paths: run directories, folders of such, or the folder of a grid, which names its rows and what a paper has for them.

    Raises:
        ReportError: nothing is there.
        ResultError: a file is damaged.
    """
    found: dict[Path, _Place] = {}
    for path in paths:
        for place in _directories(path):
            known = found.setdefault(place.directory.resolve(), place)
            # A grid names the run, and says whether the paper's figure may stand beside it.
            if (known.name is None and place.name is not None) or (known.setup is None and place.setup is not None):
                found[place.directory.resolve()] = place
    return _named([_read(place) for place in found.values()])


def _directories(path: Path) -> list[_Place]:
    if not path.is_dir():
        raise ReportError(f"{path}: no such folder; give run directories, such as runs/NAME, or a folder of them")
    if (path / CONFIG).exists() or (path / RESULT).exists():
        return [_Place(path)]
    if (path / GRID).exists():
        return _of_grid(path)
    inside = sorted(folder for folder in path.iterdir() if folder.is_dir())
    grids = [row for folder in inside if (folder / GRID).exists() for row in _of_grid(folder)]
    singles = [folder for folder in inside if (folder / CONFIG).exists() or (folder / RESULT).exists()]
    if not singles and not grids:
        raise ReportError(f"{path}: holds no run (no {CONFIG} and no {RESULT}); give a run directory or a folder of them")
    return [*grids, *(_Place(folder) for folder in singles)]


def _of_grid(path: Path) -> list[_Place]:
    rows = []
    grid = read_grid(path)
    about = grid.get("grid") or {}
    for row in grid["rows"]:
        directory = path.parent / row["directory"] if row.get("directory") else None
        if directory is None or not directory.is_dir():
            continue
        check = row.get("setup")
        figures = {"ua": row.get("published_ua"), "wa": row.get("published_wa")}
        known = {name: value for name, value in figures.items() if value is not None}
        # Grids of before say nothing of the set-up: their figures are those of a preset, or not to be trusted.
        setup = setup_text(check) if check is not None else UNCHECKED if known else None
        shown = known if setup == "" else {}
        paper = (about.get("paper") or "") if check is not None or known else ""
        rows.append(_Place(directory, row["name"], shown, paper, about.get("paper_seeds"), setup))
    return rows


UNCHECKED = "set-up unknown: the grid was made before set-ups were compared; run `mer grid` again"
"""What is said of a figure in a `grid.json` that does not say how the paper made it."""


def _read(place: _Place) -> ReportedRun:
    run = read_run(place.directory, name=place.name)
    return replace(run, published=dict(place.published), paper=place.paper, paper_seeds=place.paper_seeds, setup=place.setup)


def read_run(directory: Path, *, name: str | None = None) -> ReportedRun:
    """Read one run directory; a run that is not finished gives what it has.

    Args:
        directory: with `config.json` or `result.json`.
        name: of the row; made of the head and its branches by default.

    Raises:
        ResultError: a file is damaged, or of a format that this version does not know.
    """
    done = (directory / RESULT).exists()
    result = read_result(directory) if done else {}
    hashes = result.get(FILES, {})
    check_files(directory, hashes, [name for name in (CONFIG, METRICS, PREDICTIONS) if (directory / name).exists()], CURE)
    asked = read_config(directory)
    config = result.get("config") or asked.get("config") or {}
    rated = dimensions_of(config)
    classes: tuple[str, ...] = tuple(result["summary"]["classes"]) if done else rated
    predictions: tuple[PredictionRow, ...] = ()
    if (directory / PREDICTIONS).exists() and not rated:
        columns, predictions = read_predictions(directory / PREDICTIONS)
        classes = classes or columns
        if columns != classes:
            raise ResultError(
                f"{directory / PREDICTIONS}: has the classes {', '.join(columns)}, {RESULT} has {', '.join(classes)}"
            )
    metrics = read_metrics(directory)
    return ReportedRun(
        directory=directory,
        name=name or head_name(NamedRow(directory=directory, asked=asked, result=result)),
        status="done" if done else "unfinished",
        corpus=result.get("corpus") or corpus_of_folder(directory.name, config),
        synthetic=result.get("synthetic"),
        classes=classes,
        config=config,
        asked=asked,
        result=result,
        provenance=_starts(directory),
        metrics=metrics,
        predictions=predictions,
        finished=len(result["runs"]) if done else len(metrics.kept),
        published={},
        paper="",
    )


def _starts(directory: Path) -> tuple[Mapping[str, Any], ...]:
    """Every start: of earlier results in one list, of an unfinished one in a file each."""
    listed = read_starts(directory)
    single = []
    for file in sorted((directory / STARTS).glob("*.json")):
        try:
            single.append(read_json(file))
        except FileNotFoundError:
            continue  # the result has just been written
    return (*listed, *sorted(single, key=lambda start: float(start.get("started", 0))))


def _named(runs: list[ReportedRun]) -> list[ReportedRun]:
    """Rows that differ get names that say so; a grid's names stay where they are one row's."""
    rows = [NamedRow(directory=run.directory, asked=run.asked, result=run.result, name=run.name) for run in runs]
    names = row_names(rows, [run.corpus for run in runs])
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
