"""Measures that a result was made without, scored from its predictions where they are there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mer.protocol import METRICS, RunAnswers, answers_from_table, summarise
from mer.results.run_files import PredictionRow, read_predictions

Measures = Mapping[str, Mapping[str, float | None]]


def all_measures(scores: Mapping[str, Any], classes: Sequence[str], predictions: Sequence[PredictionRow]) -> Measures:
    """Every measure of `METRICS` that a result has, or that its predictions give.

    Args:
        scores: `all` of a summary.
        classes: class names.
        predictions: of its test utterances; empty where the result has none, and what it lacks stays away.
    """
    found = {name: scores[name] for name in METRICS if name in scores}
    if not _lacking(scores) or not predictions:
        return found
    made = summarise(answers_of(predictions, classes), classes).all.measures
    return found | {name: asdict(made[name]) for name in _lacking(scores)}


def _lacking(scores: Mapping[str, Any]) -> list[str]:
    """Measures that predictions can give; those against votes they cannot, and those of ratings are all there."""
    return [name for name, metric in METRICS.items() if metric.score is not None and name not in scores and "ccc" not in scores]


def answers_of(predictions: Sequence[PredictionRow], classes: Sequence[str]) -> list[RunAnswers]:
    """The lines of a `predictions.csv` in the protocol's own form."""
    columns = ("fold", "seed", "id", "label", "prediction")
    return answers_from_table(({name: str(getattr(each, name)) for name in columns} for each in predictions), classes)


def measures_in(scores: Mapping[str, Any], directory: Path) -> Measures:
    """`all_measures` of a result in a run directory, whose predictions are read only where something is missing."""
    file = directory / "predictions.csv"
    if not _lacking(scores) or not file.is_file():
        return all_measures(scores, (), ())
    return all_measures(scores, *read_predictions(file))
