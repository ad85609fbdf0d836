"""One run directory, with whatever it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mer.report.errors import ReportError
from mer.report.metrics_log import RESULT, MetricsLog, read_metrics
from mer.report.run_files import RESULT_FORMAT, Prediction, read_json, read_predictions
from mer.report.tables import counted

Status = Literal["done", "unfinished"]
CONFIG, GRID = "config.json", "grid.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportedRun:
    """A row of a table: a head with all its folds and seeds."""

    directory: Path
    """Where it lies."""
    name: str
    """Head and granularities: `late F+S+T`; or the name that a grid gives it."""
    status: Status
    """Whether `result.json` is there."""
    corpus: str
    """Name of the corpus."""
    synthetic: bool | None
    """Whether its speech is synthetic; None where an unfinished run does not say."""
    classes: tuple[str, ...]
    """Class names in order; empty where an unfinished run has none yet."""
    config: Mapping[str, Any]
    """What was asked for, as in `config.json`."""
    result: Mapping[str, Any]
    """`result.json`; empty for an unfinished run."""
    provenance: tuple[Mapping[str, Any], ...]
    """Versions and command of each start."""
    metrics: MetricsLog
    """Epochs."""
    predictions: tuple[Prediction, ...]
    """Test utterances of every finished run."""
    finished: int
    """(fold, seed) that have ended."""
    published: Mapping[str, float]
    """A paper's `ua` and `wa` in percent, where they are known."""
    paper: str
    """Which paper and table they are of; empty where none is named."""

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


def find_runs(paths: tuple[Path, ...]) -> list[ReportedRun]:
    """All runs at the given places, each once, in the order given.

    Args:
        paths: run directories, folders of such, or the folder of a grid, which names its rows and what a paper has for them.

    Raises:
        ReportError: nothing is there, or a file is damaged.
    """
    found: dict[Path, ReportedRun] = {}
    for path in paths:
        for place in _directories(path):
            key = place.directory.resolve()
            if key not in found or (place.published and not found[key].published):
                found[key] = read_run(place.directory, name=place.name, published=place.published, paper=place.paper)
    return _with_different_names(list(found.values()))


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
    grid = read_json(path / GRID)
    paper = (grid.get("grid") or {}).get("paper") or ""
    for row in grid["rows"]:
        directory = path.parent / row["directory"] if row.get("directory") else None
        if directory is not None and directory.is_dir():
            figures = {"ua": row.get("published_ua"), "wa": row.get("published_wa")}
            known = {name: value for name, value in figures.items() if value is not None}
            rows.append(_Place(directory, row["name"], known, paper if known else ""))
    return rows


def read_run(
    directory: Path, *, name: str | None = None, published: Mapping[str, float] | None = None, paper: str = ""
) -> ReportedRun:
    """Read one run directory; a run that is not finished gives what it has.

    Args:
        directory: with `config.json` or `result.json`.
        name: of the row; made of the head and its branches by default.
        published: a paper's `ua` and `wa` in percent.
        paper: which paper and table they are of.

    Raises:
        ReportError: a file is damaged, or of a format that this version does not know.
    """
    done = (directory / RESULT).exists()
    result = read_json(directory / RESULT) if done else {}
    if done and result.get("format") != RESULT_FORMAT:
        raise ReportError(
            f"{directory / RESULT}: format {result.get('format')!r}, this version of mer reads {RESULT_FORMAT}; "
            "use the version that wrote it"
        )
    asked = read_json(directory / CONFIG) if (directory / CONFIG).exists() else {}
    config = result.get("config") or asked.get("config") or {}
    branches = result.get("branches") or config.get("branches") or config.get("granularities") or []
    classes: tuple[str, ...] = tuple(result["summary"]["classes"]) if done else ()
    predictions: tuple[Prediction, ...] = ()
    if (directory / "predictions.csv").exists():
        columns, predictions = read_predictions(directory / "predictions.csv")
        classes = classes or columns
        if columns != classes:
            raise ReportError(
                f"{directory / 'predictions.csv'}: has the classes {', '.join(columns)}, {RESULT} has {', '.join(classes)}"
            )
    metrics = read_metrics(directory)
    return ReportedRun(
        directory=directory,
        name=name or " ".join(filter(None, [str(config.get("fusion", "")), "+".join(branches)])) or directory.name,
        status="done" if done else "unfinished",
        corpus=result.get("corpus") or _corpus_of(directory, config),
        synthetic=result.get("synthetic"),
        classes=classes,
        config=config,
        result=result,
        provenance=_starts(directory),
        metrics=metrics,
        predictions=predictions,
        finished=len(result["runs"]) if done else len(metrics.kept),
        published=dict(published or {}),
        paper=paper,
    )


def _starts(directory: Path) -> tuple[Mapping[str, Any], ...]:
    """Every start: of earlier results in one list, of an unfinished one in a file each."""
    listed = read_json(directory / "provenance.json", list) if (directory / "provenance.json").exists() else []
    single = []
    for file in sorted((directory / "starts").glob("*.json")):
        try:
            single.append(read_json(file))
        except FileNotFoundError:
            continue  # the result has just been written
    return (*listed, *sorted(single, key=lambda start: float(start.get("started", 0))))


def _corpus_of(directory: Path, config: Mapping[str, Any]) -> str:
    """An unfinished run says its corpus in the name of its folder only: `corpus-head-branches-hash`."""
    marker = f"-{config.get('fusion', '')}-"
    return directory.name.split(marker)[0] if marker in directory.name else "unknown"


def _with_different_names(runs: list[ReportedRun]) -> list[ReportedRun]:
    """Rows of one name get the end of their folder's name, which is the hash of their settings."""
    from dataclasses import replace

    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} ({run.directory.name.rsplit('-', 1)[-1]})") if names.count(run.name) > 1 else run
        for run in runs
    ]
