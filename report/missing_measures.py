"""Measures that a result was made without, scored from its predictions where they are there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

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
    found |= {name: asdict(made[name]) for name in _lacking(scores) if name in made}
    return {name: found[name] for name in METRICS if name in found}


def _lacking(scores: Mapping[str, Any]) -> list[str]:
    """Measures that predictions may give; votes they do not have, and the measures of ratings are all there."""
    of_classes = [name for name, metric in METRICS.items() if metric.of_ratings is None and not metric.beside_votes]
    return [] if "ccc" in scores else [name for name in of_classes if name not in scores]


def answers_of(predictions: Sequence[PredictionRow], classes: Sequence[str]) -> list[RunAnswers]:
    """The lines of a `predictions.csv` in the protocol's own form."""
    columns = ("fold", "seed", "id", "label", "prediction")
    found = answers_from_table(({name: str(getattr(each, name)) for name in columns} for each in predictions), classes)
    shares: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for each in predictions:
        shares.setdefault((each.fold, each.seed), []).append(each.probabilities)
    return [replace(run, probabilities=np.array(shares[run.fold, run.seed])) for run in found]


def measures_in(scores: Mapping[str, Any], directory: Path) -> Measures:
    """`all_measures` of a result in a run directory, whose predictions are read only where something is missing."""
    file = directory / "predictions.csv"
    if not _lacking(scores) or not file.is_file():
        return all_measures(scores, (), ())
    return all_measures(scores, *read_predictions(file))
