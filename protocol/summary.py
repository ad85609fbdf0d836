"""One result out of many runs: means, spreads over folds and over seeds, and each style on its own."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from mer.protocol.answers import Answers, together
from mer.protocol.errors import ProtocolError
from mer.protocol.metrics import METRICS, ROUNDING, confusion, measured, recalls


@dataclass(frozen=True, kw_only=True, eq=False)
class RunPredictions(Answers):
    """What one run said about the test utterances of its fold."""

    fold: str
    """The session that was left out."""
    seed: int
    """The run's seed."""
    styles: tuple[str, ...]
    """`improvised`, `scripted` or empty, one per utterance."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One measure over folds and seeds, as shares of 1."""

    mean_of_folds: float
    """Mean over all runs of the measure of that run's test fold: the average of 25 experiments of Zhao
    2022."""
    merged: float | None
    """Folds of one seed put together and scored once, then the mean over seeds. None when no seed has all
    folds."""
    std_folds: float | None
    """Sample standard deviation (ddof 1) over folds of the mean over seeds; None for a single fold."""
    std_seeds: float | None
    """Sample standard deviation (ddof 1) over seeds of the mean over folds; None for a single seed."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Every measure of one set of utterances."""

    utterances: int
    """Test utterances, each counted once however many seeds there are."""
    measures: dict[str, Score]
    """One for each of `METRICS` that all runs have, by its key."""
    absent: tuple[str, ...]
    """`fold/class` where a test fold holds no utterance of a class, which its UA therefore leaves out."""

    def as_dict(self) -> dict[str, object]:
        """For JSON: the measures stand beside the number of utterances."""
        values = asdict(self)
        return {"utterances": self.utterances, **values["measures"], "absent": self.absent}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that is printed about a finished set of runs."""

    classes: tuple[str, ...]
    """Class names in the order of `recall` and `confusion`."""
    folds: tuple[str, ...]
    """Test sessions."""
    seeds: tuple[int, ...]
    """Seeds of the runs."""
    runs: int
    """Finished runs."""
    all: Scores
    """Every test utterance."""
    styles: dict[str, Scores]
    """Improvised and scripted speech on their own; scripted sentences recur between sessions, so text leaks
    there."""
    recall: dict[str, float | None]
    """Recall of each class over all runs put together; None for a class without test utterances."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows are the truth, columns the predictions; summed over folds and seeds."""

    def as_dict(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, for JSON."""
        styles = {style: scores.as_dict() for style, scores in self.styles.items()}
        return {**asdict(self), "all": self.all.as_dict(), "styles": styles}


def summarise(runs: Sequence[RunPredictions], classes: Sequence[str]) -> Summary:
    """Score finished runs together.

    Args:
        runs: at least one; one per (fold, seed).
        classes: class names in the order of the class numbers.

    Raises:
        ProtocolError: no runs, or a (fold, seed) twice.
    """
    if not runs:
        raise ProtocolError("there are no finished runs to summarise")
    keys = [(run.fold, run.seed) for run in runs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ProtocolError(f"fold {twice[0][0]}, seed {twice[0][1]} is given twice")
    total = np.sum([confusion(run.truth, run.prediction, len(classes)) for run in runs], axis=0)
    styles = sorted({style for run in runs for style in run.styles} - {""})
    return Summary(
        classes=tuple(classes),
        folds=tuple(dict.fromkeys(fold for fold, _ in keys)),
        seeds=tuple(sorted({seed for _, seed in keys})),
        runs=len(runs),
        all=_scores(keys, runs, classes),
        styles={style: _scores(keys, [_of_style(run, style) for run in runs], classes) for style in styles},
        recall={name: None if np.isnan(value) else float(value) for name, value in zip(classes, recalls(total), strict=True)},
        confusion=tuple(tuple(row) for row in total.tolist()),
    )


class _Cell(NamedTuple):
    """Answers, and how they are confused."""

    answers: Answers
    matrix: Int64[np.ndarray, "classes classes"]


def _cell(answers: Answers, classes: int) -> _Cell:
    return _Cell(answers, confusion(answers.truth, answers.prediction, classes))


def _of_style(run: RunPredictions, style: str) -> Answers:
    return run.chosen(np.array([each == style for each in run.styles], dtype=np.bool_))


def _scores(keys: Sequence[tuple[str, int]], runs: Sequence[Answers], classes: Sequence[str]) -> Scores:
    """Scores of (fold, seed) runs; a fold without any utterance of the style takes no part."""
    cells = {key: _cell(run, len(classes)) for key, run in zip(keys, runs, strict=True) if len(run.truth)}
    by_fold = {fold: cell.matrix for (fold, _), cell in cells.items()}
    seeds = sorted({seed for _, seed in cells})
    complete = [seed for seed in seeds if all((fold, seed) in cells for fold in by_fold)]
    merged = [_cell(together([cells[fold, seed].answers for fold in by_fold]), len(classes)) for seed in complete]
    each_of = {key: measured(*cell) for key, cell in cells.items()}
    merged_of = [measured(*cell) for cell in merged]

    def score(measure: str) -> Score:
        values = {key: each[measure] for key, each in each_of.items()}
        return Score(
            mean_of_folds=float(np.mean(list(values.values()))),
            merged=float(np.mean([each[measure] for each in merged_of])) if merged_of else None,
            std_folds=_spread([float(np.mean([v for (f, _), v in values.items() if f == fold])) for fold in by_fold]),
            std_seeds=_spread([float(np.mean([v for (_, s), v in values.items() if s == seed])) for seed in seeds]),
        )

    return Scores(
        utterances=int(sum(matrix.sum() for matrix in by_fold.values())),
        measures={measure: score(measure) for measure in METRICS if all(measure in each for each in each_of.values())},
        absent=tuple(
            f"{fold}/{name}"
            for fold, matrix in by_fold.items()
            for name, count in zip(classes, matrix.sum(1), strict=True)
            if count == 0
        ),
    )


def _spread(values: Sequence[float]) -> float | None:
    """Sample deviation; exactly 0 of values that are equal, also where their sums were rounded differently."""
    if len(values) < 2:
        return None
    shifted = np.array(values) - values[0]
    return 0.0 if np.abs(shifted).max() < ROUNDING else float(np.std(shifted, ddof=1))
