"""The files of a run directory that are whole or an error."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.report.errors import ReportError

RESULT_FORMAT = 1
COLUMNS = ("fold", "seed", "id", "label", "prediction")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
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


def read_predictions(file: Path) -> tuple[tuple[str, ...], tuple[Prediction, ...]]:
    """Class names, and every line of `predictions.csv`.

    Raises:
        ReportError: columns are missing, or a line is cut short or holds what is no number; it is named.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        if tuple(header[: len(COLUMNS)]) != COLUMNS:
            raise ReportError(f"{file}: expected the columns {', '.join(COLUMNS)} and one per class, found {', '.join(header)}")
        rows = []
        for line in reader:
            try:
                fold, seed, name, label, prediction, *shares = line
                shares_read = tuple(float(share) for share in shares)
                if len(shares) != len(header) - len(COLUMNS):
                    raise ValueError("cells are missing")
                run = int(seed)
            except ValueError:
                raise ReportError(
                    f"{file}, line {reader.line_num}: cannot be read ({','.join(line)[:80]!r}); the file was altered: "
                    "train that row again, or leave it out"
                ) from None
            rows.append(Prediction(fold=fold, seed=run, id=name, label=label, prediction=prediction, probabilities=shares_read))
    return tuple(header[len(COLUMNS) :]), tuple(rows)


def read_json(file: Path, kind: type[Any] = dict) -> Any:
    """A JSON file of a run directory.

    Args:
        file: what to read.
        kind: `dict` or `list`, what the file must hold.

    Raises:
        ReportError: it is damaged or holds something else.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise ReportError(f"{file}: is damaged ({problem}); restore it, or train that row again") from None
    if not isinstance(values, kind):
        raise ReportError(f"{file}: expected a JSON {kind.__name__}, got {type(values).__name__}")
    return values
