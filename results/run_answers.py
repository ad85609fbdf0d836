"""What the runs of a result said: logits of the test part, and of the validation part where they were kept."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mer.files.regular_file import open_file
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, check_files
from mer.results.names import LOGITS, PREDICTIONS, VALIDATION, Key, run_stem
from mer.results.run_files import CURE, read_predictions

if TYPE_CHECKING:
    from mer.results.finished_run import FinishedRun

FRONT = ("fold", "seed", "id", "label")
"""Columns of `validation.csv` before those of the classes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunLogits:
    """Some utterances of one run, and what it said about them."""

    ids: tuple[str, ...]
    """Utterances."""
    labels: tuple[str, ...]
    """Class of each."""
    logits: Float64[np.ndarray, "utterances classes"]
    """One row per utterance."""


def validation_table(runs: Sequence["FinishedRun"], classes: Sequence[str]) -> str:
    """The content of `validation.csv`; numbers are written so that the same float64 are read."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FRONT, *classes])
    for run in runs:
        for name, truth, row in zip(run.validation_ids, run.validation_truth, run.validation_logits, strict=True):
            writer.writerow([run.fold, run.seed, name, classes[truth], *map(repr, row)])
    return text.getvalue()


def read_validation_logits(directory: Path, result: Mapping[str, Any]) -> dict[Key, RunLogits]:
    """What every run said about its validation utterances, by fold and seed; empty where nothing was kept.

    Args:
        directory: of a result.
        result: its `result.json`.

    Raises:
        ResultError: a file that is not what was written.
    """
    file, hashes = directory / VALIDATION, result.get(FILES, {})
    if VALIDATION not in hashes:
        return {}
    check_files(directory, hashes, (VALIDATION,), CURE)
    lines: dict[Key, list[list[str]]] = {}
    with open_file(file) as opened, io.TextIOWrapper(opened, "utf-8", newline="") as stream:
        for line in list(csv.reader(stream))[1:]:
            lines.setdefault((line[0], int(line[1])), []).append(line)
    return {
        key: RunLogits(
            ids=tuple(line[2] for line in each),
            labels=tuple(line[3] for line in each),
            logits=np.array([line[len(FRONT) :] for line in each], dtype=np.float64),
        )
        for key, each in lines.items()
    }


def read_test_logits(directory: Path, result: Mapping[str, Any]) -> dict[Key, RunLogits]:
    """What every finished run said about its test utterances, by fold and seed.

    Args:
        directory: of a result.
        result: its `result.json`.

    Raises:
        ResultError: files that do not belong together, or are not what was written.
    """
    check_files(directory, result.get(FILES, {}), (LOGITS, PREDICTIONS), CURE)
    try:
        logits = load_file(directory / LOGITS)
    except (OSError, SafetensorError) as problem:
        raise ResultError(f"{directory / LOGITS}: is not there or damaged ({problem}); {CURE}") from None
    rows: dict[Key, list[tuple[str, str]]] = {}
    for row in read_predictions(directory / PREDICTIONS)[1]:
        rows.setdefault((row.fold, row.seed), []).append((row.id, row.label))
    found = {}
    for key, each in rows.items():
        values: Any = logits.get(run_stem(*key))
        if values is None or len(values) != len(each):
            raise ResultError(
                f"{directory}: logits.safetensors and predictions.csv differ for fold {key[0]}, seed {key[1]}; "
                "move the folder away and train again"
            )
        ids, labels = zip(*each, strict=True)
        found[key] = RunLogits(ids=ids, labels=labels, logits=np.asarray(values, dtype=np.float64))
    return found
