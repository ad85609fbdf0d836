"""Paired bootstrap over test utterances: how much a UA, or a difference of two, depends on who was tested."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from mer.protocol.errors import ProtocolError
from mer.protocol.metrics import ROUNDING, confusion
from mer.protocol.seeds import numpy_generator
from mer.protocol.summary import RunPredictions

DRAWS = 10_000
LEVEL = 0.95
CHUNK = 2_000_000
"""Utterances drawn at once; bounds the memory (about 50 MB), changes no number."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunAnswers(RunPredictions):
    """What one run said, and about whom, so that two rows can be compared utterance by utterance."""

    ids: tuple[str, ...]
    """Utterance ids, one per prediction."""


@dataclass(frozen=True, kw_only=True)
class BootstrapInterval:
    """A number with its percentile interval, as shares of 1."""

    estimate: float
    """The number itself, from the utterances as they are."""
    low: float
    """2.5th percentile of the draws."""
    high: float
    """97.5th percentile of the draws."""
    draws: int
    """Bootstrap samples."""
    utterances: int
    """Test utterances that were resampled, each counted once however many seeds there are."""


@dataclass(frozen=True, kw_only=True)
class DifferenceInterval(BootstrapInterval):
    """The difference of two rows with its interval."""

    p: float
    """Two-sided: twice the smaller share of draws at or beyond zero, (1 + count) / (1 + draws), at most 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _FoldHits:
    """How often each test utterance of a fold was right."""

    ids: tuple[str, ...]
    truth: Int64[np.ndarray, " utterances"]
    hits: Float64[np.ndarray, " utterances"]
    """Number of runs that were right; whole numbers, so that their sums are exact."""
    runs: int


def answers_from_table(rows: Iterable[Mapping[str, str]], classes: Sequence[str]) -> list[RunAnswers]:
    """Runs out of the lines of a `predictions.csv`.

    Args:
        rows: dictionaries with `fold`, `seed`, `id`, `label` and `prediction`, such as `csv.DictReader` gives.
        classes: class names in the order of the class numbers.

    Raises:
        ProtocolError: a label or prediction that is none of the classes.
    """
    number = {name: each for each, name in enumerate(classes)}
    cells: dict[tuple[str, int], list[tuple[str, int, int]]] = {}
    for row in rows:
        for column in ("label", "prediction"):
            if row[column] not in number:
                raise ProtocolError(f"utterance {row['id']}: {column} {row[column]!r} is none of {', '.join(classes)}")
        line = (row["id"], number[row["label"]], number[row["prediction"]])
        cells.setdefault((row["fold"], int(row["seed"])), []).append(line)
    return [
        RunAnswers(
            fold=fold,
            seed=seed,
            ids=tuple(name for name, _, _ in lines),
            truth=np.array([truth for _, truth, _ in lines], dtype=np.int64),
            prediction=np.array([prediction for _, _, prediction in lines], dtype=np.int64),
            styles=("",) * len(lines),
        )
        for (fold, seed), lines in cells.items()
    ]


def bootstrap_ua(runs: Sequence[RunAnswers], classes: int, *, draws: int = DRAWS, seed: int = 0) -> BootstrapInterval:
    """The mean UA over folds and seeds with its 95 % percentile interval (Efron and Tibshirani 1993, chapter 13).

    Each draw takes as many utterances of each test session as it has, with replacement, the same ones for every
    seed of that fold; classes that a draw misses are left out of that fold's UA, as everywhere.

    Args:
        runs: one per (fold, seed), all runs of a fold about the same utterances.
        classes: number of classes.
        draws: bootstrap samples.
        seed: decides the draws. Every row of a table gets the same ones.

    Raises:
        ProtocolError: no runs, one twice, runs of a fold that disagree about its utterances or their labels, or
            fewer than one draw.
    """
    folds = _hits_of_folds(runs, classes)
    shares = _draw([folds], classes, draws, seed)[0]
    return BootstrapInterval(estimate=_observed(folds, classes), **_percentiles(shares), draws=draws, utterances=_size(folds))


def bootstrap_difference(
    a: Sequence[RunAnswers], b: Sequence[RunAnswers], classes: int, *, draws: int = DRAWS, seed: int = 0
) -> DifferenceInterval:
    """UA of `a` minus UA of `b` with a 95 % interval and p, from one and the same draw of utterances for both.

    Only (fold, seed) that both rows have take part. p turns the percentile interval around: it falls below 0.05
    about where the interval leaves zero. Training runs are taken as they are, and utterances as independent,
    which those of one speaker are not: true intervals are wider.

    Args:
        a: one row's runs.
        b: the other's.
        classes: number of classes.
        draws: bootstrap samples.
        seed: decides the draws.

    Raises:
        ProtocolError: as `bootstrap_ua`, no (fold, seed) in both, or rows that were tested on other utterances.
    """
    cells = {(run.fold, run.seed) for run in a} & {(run.fold, run.seed) for run in b}
    if not cells:
        raise ProtocolError("the two rows have no (fold, seed) in common: nothing to compare")
    ours, theirs = (_hits_of_folds([run for run in row if (run.fold, run.seed) in cells], classes) for row in (a, b))
    for fold, first in ours.items():
        _check_same_utterances(fold, first, theirs[fold])
    drawn = _draw([ours, theirs], classes, draws, seed)
    differences = np.where(np.abs(drawn[0] - drawn[1]) < ROUNDING, 0.0, drawn[0] - drawn[1])
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return DifferenceInterval(
        estimate=_observed(ours, classes) - _observed(theirs, classes),
        **_percentiles(differences),
        p=min(1.0, 2 * (1 + int(beyond)) / (1 + draws)),
        draws=draws,
        utterances=_size(ours),
    )


def _hits_of_folds(runs: Sequence[RunAnswers], classes: int) -> dict[str, _FoldHits]:
    """Right answers of each fold, its utterances sorted by id, folds sorted by name."""
    if not runs:
        raise ProtocolError("there are no finished runs to resample")
    keys = [(run.fold, run.seed) for run in runs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ProtocolError(f"fold {twice[0][0]}, seed {twice[0][1]} is given twice")
    found: dict[str, _FoldHits] = {}
    for run in sorted(runs, key=lambda run: (run.fold, run.seed)):
        one = _hits_of_run(run, classes)
        if run.fold in found:
            before = found[run.fold]
            _check_same_utterances(run.fold, before, one)
            one = _FoldHits(ids=one.ids, truth=one.truth, hits=before.hits + one.hits, runs=before.runs + 1)
        found[run.fold] = one
    return found


def _hits_of_run(run: RunAnswers, classes: int) -> _FoldHits:
    if len(run.ids) != len(run.truth) or len(set(run.ids)) != len(run.ids) or not run.ids:
        raise ProtocolError(
            f"fold {run.fold}, seed {run.seed}: {len(run.truth)} answers need as many different utterance ids, "
            f"at least one, got {len(set(run.ids))}"
        )
    confusion(run.truth, run.prediction, classes)  # refuses lengths and class numbers that do not fit
    order = np.array(sorted(range(len(run.ids)), key=run.ids.__getitem__))
    right = (run.truth == run.prediction)[order].astype(np.float64)
    return _FoldHits(ids=tuple(run.ids[row] for row in order.tolist()), truth=run.truth[order], hits=right, runs=1)


def _check_same_utterances(fold: str, first: _FoldHits, second: _FoldHits) -> None:
    if first.ids != second.ids:
        other = sorted(set(first.ids) ^ set(second.ids))
        raise ProtocolError(
            f"fold {fold} was tested on {len(first.ids)} utterances in one run and on {len(second.ids)} in another "
            f"({len(other)} only in one of them, first {other[0]!r}): compare runs on the same data"
        )
    differs = np.flatnonzero(first.truth != second.truth)
    if len(differs):
        raise ProtocolError(
            f"fold {fold}: utterance {first.ids[differs[0]]!r} has another label in another run: "
            "compare runs with the same classes"
        )


def _draw(rows: Sequence[Mapping[str, _FoldHits]], classes: int, draws: int, seed: int) -> Float64[np.ndarray, "rows draws"]:
    """Mean UA over (fold, seed) of each row, for every draw of utterances."""
    if draws < 1:
        raise ProtocolError(f"a bootstrap needs at least one draw, got {draws}")
    total = np.zeros((len(rows), draws))
    for fold, first in rows[0].items():
        generator = numpy_generator(seed, "bootstrap", fold)
        size, runs = len(first.ids), first.runs
        chunk = max(1, CHUNK // size)
        for start in range(0, draws, chunk):
            stop = min(start + chunk, draws)
            drawn = generator.integers(0, size, (stop - start, size)) + size * np.arange(stop - start)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
            total[:, start:stop] += runs * _mean_ua(counts, [row[fold] for row in rows], classes)
    return total / sum(fold.runs for fold in rows[0].values())


def _mean_ua(
    counts: Float64[np.ndarray, "draws utterances"], rows: Sequence[_FoldHits], classes: int
) -> Float64[np.ndarray, "rows draws"]:
    """UA of one fold, averaged over its runs, when each utterance is there `counts` times.

    The class sizes of a draw are the same for every seed, so the mean of the seeds' recalls is the recall of
    their summed hits.
    """
    member = np.eye(classes)[rows[0].truth]
    sizes = counts @ member
    present = sizes > 0
    scores = np.empty((len(rows), len(counts)))
    for number, row in enumerate(rows):
        hits = counts @ (member * row.hits[:, None])
        recall = np.divide(hits, sizes * row.runs, out=np.zeros_like(hits), where=present)
        scores[number] = recall.sum(1) / present.sum(1)
    return scores


def _observed(folds: Mapping[str, _FoldHits], classes: int) -> float:
    scores = [(fold.runs, _mean_ua(np.ones((1, len(fold.ids))), [fold], classes)[0, 0]) for fold in folds.values()]
    return float(sum(runs * score for runs, score in scores) / sum(runs for runs, _ in scores))


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}


def _size(folds: Mapping[str, _FoldHits]) -> int:
    return sum(len(fold.ids) for fold in folds.values())
