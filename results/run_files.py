"""The files of a run directory, a grid or an export that are whole or an error: one reader for all who need them so."""

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from mer.files.regular_file import LARGEST, open_file, read_text_file
from mer.results.artefact import read_object
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, is_sealed_wrongly
from mer.results.names import CONFIG, GRID, PROVENANCE, RESULT, RESULT_FORMAT
from mer.results.shape import misfit

CURE = (
    "copy the folder again, or move it away and train again with the command in its provenance.json; an exported folder: "
    "export it again"
)
"""What helps when a file is damaged."""
FAILURE = {"fold": str, "seed": int, "reason": str}
"""A run that ended without a number."""
SCORES = {f"{name}?": {"mean_of_folds": float} for name in ("ua", "wa", "ccc")}
RESULT_SHAPE = {
    "corpus": str,
    "config": dict,
    "branches": [str],
    "summary": {"classes": [str], "all": SCORES},
    "layers?": dict,
    "runs": [{"fold": str, "seed": int, "best_epoch": int}],
    "failed_runs": [FAILURE],
    "features?": dict,
    "encoders?": dict,
    "parts?": [str],
    "files_sha256?": dict,
}
"""What a result must hold; there is more in it, which not every reader needs."""
EXPORT_FORMAT = "mer-export-1"
EXPORT_SHAPE = {
    "kind": str,
    "classes": [str],
    "runs": [list],
    "result": {"corpus": str, "config": dict, "summary": dict},
    "features?": {
        **{f"{name}?": dict for name in ("speech", "text", "segments")},
        "compute": {"dtype": str},
        "storage": {"dtype": str},
        "layers": dict,
        "dim": dict,
    },
    "parts?": [{"config": dict, "layers": dict}],
    "files_sha256?": dict,
}
"""What the config of an export must hold."""
COLUMNS = ("fold", "seed", "id", "label", "prediction")


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionRow:
    """What one run said about one test utterance."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    id: str
    """Utterance."""
    label: str
    """Its class."""
    prediction: str
    """The class that the run gave."""
    probabilities: tuple[float, ...]
    """One per class, in the order of the file's columns."""


def read_predictions(file: Path) -> tuple[tuple[str, ...], tuple[PredictionRow, ...]]:
    """Class names, and every line of `predictions.csv`.

    Raises:
        ResultError: columns are missing, or a line is cut short or holds what is no number; it is named.
    """
    try:
        with open_file(file, LARGEST) as opened, io.TextIOWrapper(opened, "utf-8", newline="") as stream:
            return _predictions(file, csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise ResultError(f"{file}: is damaged, or no table ({problem}); {CURE}") from None


def _predictions(file: Path, reader: Any) -> tuple[tuple[str, ...], tuple[PredictionRow, ...]]:
    header: list[str] = next(reader, [])
    if tuple(header[: len(COLUMNS)]) != COLUMNS:
        raise ResultError(f"{file}: expected the columns {', '.join(COLUMNS)} and one per class, found {', '.join(header)}")
    rows = []
    for line in reader:
        try:
            fold, seed, name, label, prediction, *shares = line
            shares_read = tuple(float(share) for share in shares)
            if len(shares) != len(header) - len(COLUMNS):
                raise ValueError("cells are missing")
            run = int(seed)
        except ValueError:
            raise ResultError(
                f"{file}, line {reader.line_num}: cannot be read ({','.join(line)[:80]!r}); the file was altered: "
                "train that row again, or leave it out"
            ) from None
        rows.append(PredictionRow(fold=fold, seed=run, id=name, label=label, prediction=prediction, probabilities=shares_read))
    return tuple(header[len(COLUMNS) :]), tuple(rows)


def read_json(file: Path, kind: type[Any] = dict) -> Any:
    """A JSON file of a run directory.

    Args:
        file: what to read.
        kind: `dict` or `list`, what the file must hold.

    Raises:
        FileNotFoundError: it is not there.
        ResultError: it is damaged or holds something else.
    """
    try:
        values = json.loads(read_text_file(file))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as problem:
        raise ResultError(f"{file}: is damaged, or no JSON file ({problem}); {CURE}") from None
    if not isinstance(values, kind):
        raise ResultError(f"{file}: expected a JSON {kind.__name__}, got {type(values).__name__}; {CURE}")
    return values


def read_result(directory: Path) -> dict[str, Any]:
    """The `result.json` of a run directory, checked.

    Raises:
        FileNotFoundError: it is not there.
        ResultError: it is damaged, of another format, or no result.
    """
    file = directory / RESULT
    values: dict[str, Any] = read_json(file)
    check_document(file, values, RESULT_FORMAT, RESULT_SHAPE)
    scores = values["summary"]["all"]
    if "ccc" not in scores and not {"ua", "wa"} <= set(scores):
        raise ResultError(f"{file}: is not what mer writes: summary.all has neither ua and wa nor ccc; {CURE}")
    return values


def read_finished_result(directory: Path) -> dict[str, Any]:
    """The same of a folder that somebody has named.

    Raises:
        ResultError: as `read_result`; no such folder, none that a run was trained in, or one that is not finished.
    """
    if not (directory / RESULT).is_file():
        state = "is no run directory" if directory.is_dir() else "no such folder"
        if (config := read_object(directory / CONFIG)) is not None:
            state = "is an export" if is_export(config) else "is not finished"
        raise ResultError(f"{directory}: {state} (no {RESULT}); give run directories that are finished, such as runs/NAME")
    return read_result(directory)


def is_export(config: Mapping[str, Any]) -> bool:
    """Whether the `config.json` of a folder is that of an export, of whatever version."""
    return str(config.get("format", "")).startswith("mer-export-")


def read_export(directory: Path) -> dict[str, Any]:
    """The `config.json` of an exported folder, checked.

    Raises:
        FileNotFoundError: it is not there.
        ResultError: it is damaged, of another format, or no export.
    """
    file = directory / CONFIG
    values: dict[str, Any] = read_json(file)
    check_document(file, values, EXPORT_FORMAT, EXPORT_SHAPE)
    return values


def read_config(directory: Path) -> dict[str, Any]:
    """The `config.json` of a run directory, what was asked for; empty where it is gone.

    Raises:
        ResultError: it is damaged, or something else.
    """
    file = directory / CONFIG
    found: dict[str, Any] = _checked(file, {"config?": dict, "encoders?": dict}) if file.exists() else {}
    return found


def read_grid(directory: Path) -> dict[str, Any]:
    """The `grid.json` of a grid's folder.

    Raises:
        FileNotFoundError: it is not there.
        ResultError: it is damaged, or something else.
    """
    file = directory / GRID
    found: dict[str, Any] = _checked(file, {"grid?": dict, "rows": [{"name": str}]})
    if is_sealed_wrongly(found):
        raise ResultError(
            f"{file}: damaged (its own sha256 differs); give the command of the grid again, it writes the file anew"
        )
    return found


def read_starts(directory: Path) -> list[dict[str, Any]]:
    """The `provenance.json` of a run directory: versions and command of each start; empty where there is none.

    Raises:
        ResultError: it is damaged, or something else.
    """
    file = directory / PROVENANCE
    found: list[dict[str, Any]] = _checked(file, [{"started?": float}]) if file.exists() else []
    return found


def check_document(file: Path, document: Mapping[str, Any], known: object, shape: Mapping[str, Any]) -> None:
    """Make sure that a document is of the format that this version reads, is what was written, and holds what it must.

    Raises:
        ResultError: it is not; the file is named.
    """
    if document.get("format") != known:
        raise ResultError(
            f"{file}: format {document.get('format')!r}, and this version of mer reads {known!r}; use the mer that wrote it, or "
            "train again"
        )
    if is_sealed_wrongly(document):
        raise ResultError(f"{file}: damaged (its own sha256 differs); {CURE}")
    problem = misfit(document, shape) or misfit(list(document.get(FILES, {}).values()), [str], FILES)
    problem = problem or next(map(_outside, filter(_leads_outside, document.get(FILES, {}))), None)
    if problem:
        raise ResultError(f"{file}: is not what mer writes: {problem}; {CURE}")


def _leads_outside(name: str) -> bool:
    """Whether a path in a document leaves the folder that the document lies in: what somebody made may name any file."""
    return ".." in re.split(r"[/\\]", name) or PureWindowsPath(name).anchor != ""


def _outside(name: str) -> str:
    return f"{FILES} names {name!r}, which lies outside"


def _checked(file: Path, shape: Any) -> Any:
    values = read_json(file, type(shape))
    if problem := misfit(values, shape):
        raise ResultError(f"{file}: is not what mer writes: {problem}; {CURE}")
    return values
