"""A finished result as Python has it: scores, predictions, layer weights."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mer.files.data_frame import data_frame
from mer.files.notebook_table import notebook_table
from mer.protocol import METRICS, STATISTICS, RunAnswers
from mer.protocol.calibration import softmax
from mer.protocol.dimensions import dimensions_of
from mer.protocol.summary import Score
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, check_files
from mer.results.names import PREDICTIONS, Key
from mer.results.rated_predictions import RatingRow, rating_columns, read_ratings
from mer.results.row_names import head_name, read_row, row_names
from mer.results.run_answers import RunLogits, read_test_logits
from mer.results.run_files import COLUMNS, CURE, PredictionRow, read_finished_result, read_predictions

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, kw_only=True, eq=False)
class SavedResult:
    """What `mer train-head`, `mer finetune`, `mer combine` or `mer evaluate` wrote, read."""

    directory: Path
    """The run directory."""
    name: str
    """What it is called in tables: `late F+S+T`."""
    values: Mapping[str, Any]
    """All that `result.json` holds."""
    scores: Mapping[str, Score]
    """Measure, by its key in `mer.protocol.METRICS`, to its mean and deviations, as shares of 1; those that the result has."""
    layer_weights: Mapping[str, Mapping[int, float]]
    """Granularity to the learned share of each encoder layer by its number, mean over the runs; empty where none are learned."""

    @property
    def corpus(self) -> str:
        """Name of the corpus."""
        return str(self.values["corpus"])

    @property
    def synthetic(self) -> bool:
        """Whether its speech was made by `mer synth`; to be said beside every number."""
        return bool(self.values.get("synthetic", False))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of every logit, or the dimensions of ratings."""
        return tuple(self.values["summary"]["classes"])

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Ratings that were predicted; empty where it was an emotion."""
        return dimensions_of(self.values["config"])

    @property
    def runs(self) -> tuple[Key, ...]:
        """Fold and seed of each finished run."""
        return tuple((str(each["fold"]), int(each["seed"])) for each in self.values["runs"])

    @cached_property
    def predictions(self) -> tuple[PredictionRow, ...]:
        """What each run said about each of its test utterances, of a result that predicts an emotion.

        Raises:
            ResultError: ratings were predicted (see `ratings`), or `predictions.csv` is missing or not what was written.
        """
        self._refuse_ratings("predictions")
        file = self._checked(PREDICTIONS)
        classes, rows = read_predictions(file)
        if classes != self.classes:
            told, own = ", ".join(classes), ", ".join(self.classes)
            raise ResultError(f"{file}: its classes are {told}, those of the result {own}; {CURE}")
        return rows

    @cached_property
    def ratings(self) -> tuple[RatingRow, ...]:
        """The same of a result that predicts ratings.

        Raises:
            ResultError: an emotion was predicted, or `predictions.csv` is missing or not what was written.
        """
        if not self.dimensions:
            raise ResultError(f"{self.directory} predicts an emotion and no ratings: see `predictions`")
        return read_ratings(self._checked(PREDICTIONS), self.dimensions)

    @cached_property
    def logits(self) -> Mapping[Key, RunLogits]:
        """Fold and seed to the test utterances of that run with their logits in float64.

        Raises:
            ResultError: ratings were predicted, or files are missing or not what was written.
        """
        self._refuse_ratings("logits")
        return read_test_logits(self.directory, self.values)

    @property
    def answers(self) -> list[RunAnswers]:
        """The same as the protocol has it, for `mer.protocol.summarise`, `compare` and any measure; raises as `logits`."""
        number = {name: each for each, name in enumerate(self.classes)}
        return [
            RunAnswers(
                fold=fold,
                seed=seed,
                ids=each.ids,
                truth=np.array([number[label] for label in each.labels], dtype=np.int64),
                prediction=each.logits.argmax(1),
                probabilities=softmax(each.logits),
                styles=("",) * len(each.ids),
            )
            for (fold, seed), each in self.logits.items()
        ]

    def frame(self) -> "pandas.DataFrame":
        """The predictions as a pandas data frame, one row for each run and test utterance.

        Raises:
            MissingPandasError: the extra `pandas` is not installed.
            ResultError: as `predictions`.
        """
        lines: list[tuple[Any, ...]]
        if self.dimensions:
            names = rating_columns(self.dimensions)
            pairs = [(row, zip(row.ratings, row.predicted, strict=True)) for row in self.ratings]
            lines = [(row.fold, row.seed, row.id, *(value for pair in each for value in pair)) for row, each in pairs]
        else:
            names = (*COLUMNS, *self.classes)
            rows = self.predictions
            lines = [(row.fold, row.seed, row.id, row.label, row.prediction, *row.probabilities) for row in rows]
        return data_frame(dict(zip(names, map(list, zip(*lines, strict=True)), strict=True)))

    def _checked(self, name: str) -> Path:
        """A file of the run directory, compared with what was written."""
        check_files(self.directory, self.values.get(FILES, {}), (name,), CURE)
        return self.directory / name

    def _refuse_ratings(self, what: str) -> None:
        if self.dimensions:
            raise ResultError(f"{self.directory} predicts {', '.join(self.dimensions)} and has no {what}: see `ratings`")

    def __repr__(self) -> str:
        told = ", ".join(f"{METRICS[name].title} {score.mean_of_folds:.4f}" for name, score in list(self.scores.items())[:3])
        return f"<SavedResult {self.name} on {self.corpus}: {told}; {len(self.runs)} runs>"

    def _repr_html_(self) -> str:
        rows = [
            (METRICS[name].title, *("" if value is None else f"{value:.4f}" for value in map(score.__getattribute__, STATISTICS)))
            for name, score in self.scores.items()
        ]
        heads = ("", *(told or "mean" for told, _ in STATISTICS.values()))
        return notebook_table(f"{self.name} on {self.corpus}, {len(self.runs)} runs", rows, heads=heads)


def load(run: Path | str) -> SavedResult:
    """Read a finished result.

    Args:
        run: its run directory, such as those in `runs/`.

    Raises:
        ResultError: no finished result there, or one that is damaged, foreign or of another version.
    """
    directory = Path(run)
    values = read_finished_result(directory)
    return SavedResult(
        directory=directory,
        name=head_name(read_row(directory)),
        values=values,
        scores=_scores(directory, values),
        layer_weights=_layer_weights(directory, values),
    )


def frame(results: Iterable[SavedResult | Path | str]) -> "pandas.DataFrame":
    """Several results as a pandas data frame, one row each, with the mean and the deviations of every measure.

    Args:
        results: loaded, or their run directories.

    Raises:
        MissingPandasError: the extra `pandas` is not installed.
        ResultError: as `load`.
    """
    found = [each if isinstance(each, SavedResult) else load(each) for each in results]
    columns: dict[str, Sequence[Any]] = {
        "name": row_names([read_row(each.directory) for each in found]),
        "corpus": [each.corpus for each in found],
        "runs": [len(each.runs) for each in found],
    }
    for measure in (name for name in METRICS if any(name in each.scores for each in found)):
        for statistic in STATISTICS:
            column = measure if statistic == "mean_of_folds" else f"{measure}_{statistic}"
            columns[column] = [getattr(each.scores.get(measure), statistic, None) for each in found]
    return data_frame({**columns, "directory": [str(each.directory) for each in found]})


def _scores(directory: Path, values: Mapping[str, Any]) -> dict[str, Score]:
    told: Mapping[str, Any] = values["summary"]["all"]
    found = {}
    for name in (name for name in METRICS if name in told):
        numbers = {each.name: told[name].get(each.name) for each in fields(Score)} if isinstance(told[name], dict) else {}
        optional = [value for key, value in numbers.items() if key != "mean_of_folds" and value is not None]
        if not all(isinstance(value, int | float) for value in (numbers.get("mean_of_folds"), *optional)):
            raise ResultError(f"{directory}: its {name} is no score: {str(told[name])[:80]}; {CURE}")
        found[name] = Score(**numbers)
    return found


def _layer_weights(directory: Path, values: Mapping[str, Any]) -> dict[str, dict[int, float]]:
    layers, shares = values.get("layers", {}), values.get("layer_shares", {})
    try:
        return {
            name: {int(number): float(share) for number, share in zip(layers[name], each, strict=True)}
            for name, each in shares.items()
        }
    except (TypeError, ValueError, KeyError, AttributeError):
        raise ResultError(f"{directory}: its layer_shares do not belong to its layers; {CURE}") from None
