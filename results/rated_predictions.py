"""The `predictions.csv` of a result that predicts ratings."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.files.regular_file import LARGEST, open_file
from mer.results.errors import ResultError
from mer.results.run_files import CURE


@dataclass(frozen=True, kw_only=True, slots=True)
class RatingRow:
    """What one run said about one test utterance, in the corpus' unit."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    id: str
    """Utterance."""
    ratings: tuple[float, ...]
    """How it was rated, one per dimension."""
    predicted: tuple[float, ...]
    """What the run gave."""


def rating_columns(dimensions: Sequence[str]) -> tuple[str, ...]:
    """Columns of the file."""
    return ("fold", "seed", "id", *(f"{name}{each}" for name in dimensions for each in ("", "_predicted")))


def read_ratings(file: Path, dimensions: Sequence[str]) -> tuple[RatingRow, ...]:
    """Every line of the file.

    Args:
        file: `predictions.csv`.
        dimensions: that are predicted.

    Raises:
        ResultError: other columns, or a line that is cut short or holds what is no number; it is named.
    """
    expected, rows = rating_columns(dimensions), []
    try:
        with open_file(file, LARGEST) as opened, io.TextIOWrapper(opened, "utf-8", newline="") as stream:
            header, *lines = list(csv.reader(stream)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise ResultError(f"{file}: is damaged, or no table ({problem}); {CURE}") from None
    if tuple(header) != expected:
        raise ResultError(f"{file}: expected the columns {', '.join(expected)}, found {', '.join(header)}; {CURE}")
    for number, line in enumerate(lines, start=2):
        try:
            fold, seed, name, *values = line
            numbers = [float(value) for value in values]
            if len(line) != len(expected):
                raise ValueError("cells are missing")
            row = RatingRow(fold=fold, seed=int(seed), id=name, ratings=tuple(numbers[::2]), predicted=tuple(numbers[1::2]))
        except ValueError:
            raise ResultError(f"{file}, line {number}: cannot be read ({','.join(line)[:80]!r}); {CURE}") from None
        rows.append(row)
    return tuple(rows)
