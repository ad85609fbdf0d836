"""The measures of one set of predictions, in float64, each one function and one entry of `METRICS`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from mer.protocol.answers import Answers
from mer.protocol.calibration import BINS, area_under_risk_coverage, calibration_error, scaled_calibration_error
from mer.protocol.concordance import RatedRun, dimension_ccc, mean_ccc
from mer.protocol.dimensions import DIMENSIONS, dimensions_of
from mer.protocol.errors import ProtocolError
from mer.protocol.vote_shares import vote_agreement
from mer.settings import Registry

Labels = NDArray[np.int64]

ROUNDING = 1e-12
"""Differences below this are none: sums of fractions are not exact, and no real one is smaller than 1 / utterances."""


def confusion(truth: Labels, prediction: Labels, classes: int) -> Int64[np.ndarray, "classes classes"]:
    """How many utterances of each class (row) were given each class (column).

    Raises:
        ProtocolError: the two differ in length, or a number is not in [0, classes).
    """
    if len(truth) != len(prediction):
        raise ProtocolError(f"{len(truth)} labels but {len(prediction)} predictions")
    for name, values in (("label", truth), ("prediction", prediction)):
        if len(values) and (values.min() < 0 or values.max() >= classes):
            raise ProtocolError(f"a {name} lies outside 0..{classes - 1}: {values.min()}..{values.max()}")
    return np.bincount(truth * classes + prediction, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


def recalls(matrix: Int64[np.ndarray, "classes classes"]) -> Float64[np.ndarray, " classes"]:
    """Share of each class that was found; NaN for a class that the truth does not hold."""
    total = matrix.sum(1)
    found = np.diagonal(matrix).astype(np.float64)
    shares: NDArray[np.float64] = np.divide(found, total, out=np.full(len(total), np.nan), where=total > 0)
    return shares


def unweighted_accuracy(matrix: Int64[np.ndarray, "classes classes"]) -> float:
    """UA: the mean of the class recalls; a class that the truth does not hold is left out.

    Raises:
        ProtocolError: there are no utterances.
    """
    _check_filled(matrix)
    return float(np.nanmean(recalls(matrix)))


def weighted_accuracy(matrix: Int64[np.ndarray, "classes classes"]) -> float:
    """WA: plain accuracy, the share of utterances that are right.

    Raises:
        ProtocolError: there are no utterances.
    """
    _check_filled(matrix)
    return float(np.trace(matrix) / matrix.sum())


def macro_f1(matrix: Int64[np.ndarray, "classes classes"]) -> float:
    """Macro-F1: the mean of 2 h_c / (n_c + m_c) over the classes that the truth or the predictions hold.

    Raises:
        ProtocolError: there are no utterances.
    """
    _check_filled(matrix)
    counts = matrix.sum(1) + matrix.sum(0)
    return float(np.mean(class_f1(matrix)[counts > 0]))


def weighted_f1(matrix: Int64[np.ndarray, "classes classes"]) -> float:
    """Weighted F1: the classes' F1, each weighted by how many utterances the class has.

    Raises:
        ProtocolError: there are no utterances.
    """
    _check_filled(matrix)
    return float((class_f1(matrix) * matrix.sum(1)).sum() / matrix.sum())


def kappa(matrix: Int64[np.ndarray, "classes classes"]) -> float:
    """Cohen's kappa (1960): (p_o - p_e) / (1 - p_e); 0 where truth and predictions are one and the same class.

    Raises:
        ProtocolError: there are no utterances.
    """
    _check_filled(matrix)
    total = float(matrix.sum())
    observed, expected = float(np.trace(matrix)) / total, float(matrix.sum(1) @ matrix.sum(0)) / total**2
    return 0.0 if expected == 1 else (observed - expected) / (1 - expected)


def class_f1(matrix: Int64[np.ndarray, "classes classes"]) -> Float64[np.ndarray, " classes"]:
    """2 h_c / (n_c + m_c) of each class; 0 for one that neither truth nor predictions hold."""
    counts = matrix.sum(1) + matrix.sum(0)
    shares: NDArray[np.float64] = np.divide(2.0 * np.diagonal(matrix), counts, out=np.zeros(len(counts)), where=counts > 0)
    return shares


def _check_filled(matrix: Int64[np.ndarray, "classes classes"]) -> None:
    if matrix.sum() == 0:
        raise ProtocolError("there are no utterances to score")


STATISTICS: Mapping[str, tuple[str, str]] = {
    "mean_of_folds": ("", "mean over test sessions and seeds"),
    "std_folds": ("± folds", "standard deviation over test sessions"),
    "std_seeds": ("± seeds", "standard deviation over seeds"),
    "merged": ("merged", "all test sessions scored together, mean over seeds"),
}
"""What is told of a measure over many runs: what its column is called, and what that is (docs/statistics.md has the formulas)."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measure: how it is computed, and how it is told."""

    title: str
    """What tables call it: `UA`."""
    meaning: str
    """What it is, in a few words, as below every table."""
    formula: str
    """As in `docs/statistics.md`: h_c of the n_c utterances of class c were recognised, m_c were given class c."""
    remark: str
    """What a reader of the formula has to know."""
    score: Callable[[Int64[np.ndarray, "classes classes"]], float] | None = None
    """The measure of a confusion matrix (rows are the truth) with at least one utterance; a share of 1."""
    of_answers: Callable[[Answers], float | None] | None = None
    """Instead of `score`: the measure of the answers themselves, None where they do not have what it needs."""
    of_ratings: Callable[[RatedRun], float | None] | None = None
    """Instead of both: the measure of predicted ratings, None of a dimension that was not predicted."""
    shown: tuple[str, ...] = ("mean_of_folds",)
    """Those of `STATISTICS` that tables for people show, none for a measure that they leave out; JSON and CSV have all."""
    beside_votes: bool = False
    """Whether tables for people show it only where a row learnt the annotators' votes."""

    def __post_init__(self) -> None:
        """Refuse a measure that is computed in two ways or in none."""
        if [self.score, self.of_answers, self.of_ratings].count(None) != 2:
            raise ProtocolError(
                f"the measure {self.title} needs one of `score` (of a confusion matrix), `of_answers`, `of_ratings`"
            )

    def value(self, answers: Answers, matrix: Int64[np.ndarray, "classes classes"]) -> float | None:
        """The measure of answers whose confusion matrix is `matrix`; None where they do not have what it needs."""
        if self.score is not None:
            return self.score(matrix)
        return self.of_answers(answers) if self.of_answers is not None else None


def measured(answers: Answers, matrix: Int64[np.ndarray, "classes classes"]) -> dict[str, float]:
    """Every measure that these answers have."""
    found = {name: metric.value(answers, matrix) for name, metric in METRICS.items()}
    return {name: value for name, value in found.items() if value is not None}


def rated(run: RatedRun) -> dict[str, float]:
    """Every measure that these predicted ratings have."""
    found = {name: metric.of_ratings(run) for name, metric in METRICS.items() if metric.of_ratings is not None}
    return {name: value for name, value in found.items() if value is not None}


def definitions_table() -> str:
    """The measures as `docs/statistics.md` has them, in Markdown."""
    rows = [f"| {metric.title}, {metric.meaning} | {metric.formula} | {metric.remark} |" for metric in METRICS.values()]
    return "\n".join(["| number | formula | |", "|---|---|---|", *rows])


def learned_by(config: Mapping[str, Any]) -> str:
    """What a head with such a config, as JSON has it, learnt: `labels`, `votes` or `ratings`."""
    return "ratings" if dimensions_of(config) else "votes" if config.get("targets") == "soft" else "labels"


def metrics_for(learned: Collection[str]) -> dict[str, Metric]:
    """The measures that heads can have who learnt `labels`, `votes` or `ratings`."""
    rated, classed = "ratings" in learned, bool({"labels", "votes"} & set(learned))
    return {name: each for name, each in METRICS.items() if (rated if each.of_ratings is not None else classed)}


def shown_metrics(learned: Collection[str] = ("labels",)) -> dict[str, Metric]:
    """The measures that tables for people have; those against votes only where something learnt votes."""
    known = metrics_for(learned).items()
    return {name: each for name, each in known if each.shown and (not each.beside_votes or "votes" in learned)}


METRICS = Registry[Metric]("metric")
"""Every measure, by its key in results. The first one is what tables are compared by."""
METRICS.add(
    "ua",
    Metric(
        title="UA",
        meaning="mean of the class recalls (unweighted accuracy)",
        formula="mean of h_c / n_c over the classes with n_c > 0",
        remark="a class without test utterances is left out and named in the result",
        score=unweighted_accuracy,
        shown=tuple(STATISTICS),
    ),
)
METRICS.add(
    "wa",
    Metric(
        title="WA",
        meaning="share of utterances that are right (weighted accuracy)",
        formula="sum h_c / sum n_c",
        remark="plain accuracy",
        score=weighted_accuracy,
        shown=("mean_of_folds", "merged"),
    ),
)
METRICS.add(
    "macro_f1",
    Metric(
        title="F1",
        meaning="mean of the classes' F1 (macro-F1)",
        formula="mean of 2 h_c / (n_c + m_c) over the classes with n_c + m_c > 0",
        remark="a class that is given too often costs, too",
        score=macro_f1,
    ),
)
METRICS.add(
    "weighted_f1",
    Metric(
        title="wF1",
        meaning="mean of the classes' F1 by their utterances (weighted F1)",
        formula="sum n_c F1_c / sum n_c with F1_c = 2 h_c / (n_c + m_c)",
        remark="what papers on MELD report",
        score=weighted_f1,
        shown=(),
    ),
)
METRICS.add(
    "kappa",
    Metric(
        title="kappa",
        meaning="agreement beyond chance (Cohen's kappa)",
        formula="(WA - p) / (1 - p) with p = sum n_c m_c / (sum n_c)^2",
        remark="0 for guesses, below 0 for worse; 0 where all are one class",
        score=kappa,
        shown=(),
    ),
)
METRICS.add(
    "vote_agreement",
    Metric(
        title="1-JSD",
        meaning="agreement of the probabilities with the annotators' votes (1 - Jensen-Shannon divergence in bits)",
        formula="mean of 1 - sum_c (q_c log2(q_c / m_c) + p_c log2(p_c / m_c)) / 2 with m = (q + p) / 2",
        remark="q: shares of the votes, p: probabilities; of utterances with a vote for a class, in corpora that have votes",
        of_answers=vote_agreement,
        beside_votes=True,
    ),
)
METRICS.add(
    "ccc",
    Metric(
        title="CCC",
        meaning="mean of the dimensions' concordance correlation coefficients",
        formula="mean over dimensions of 2 cov(t, s) / (var(t) + var(s) + (mean(t) - mean(s))^2)",
        remark="t: ratings, s: predictions; moments divide by n (Lin 1989); only of heads that predict ratings",
        of_ratings=mean_ccc,
        shown=tuple(STATISTICS),
    ),
)
for _dimension in DIMENSIONS:
    METRICS.add(
        f"ccc_{_dimension}",
        Metric(
            title=f"CCC {_dimension}",
            meaning=f"that of {_dimension}",
            formula="2 cov(t, s) / (var(t) + var(s) + (mean(t) - mean(s))^2)",
            remark="0 where nothing varies together",
            of_ratings=partial(dimension_ccc, dimension=_dimension),
            shown=("mean_of_folds", "std_folds", "std_seeds"),
        ),
    )
METRICS.add(
    "ece",
    Metric(
        title="ECE",
        meaning="how far probabilities are from the share that is right (expected calibration error)",
        formula=f"sum over {BINS} bins of equal width of n_b / n times abs(share right in b - mean probability in b)",
        remark="of the predicted class' probability; lower is better (Guo et al. 2017)",
        of_answers=calibration_error,
        shown=(),
    ),
)
METRICS.add(
    "ece_scaled",
    Metric(
        title="ECE at T",
        meaning="the same of softmax(logits / T), T from each run's validation part",
        formula="as ECE",
        remark="not there where nobody was held out, or for a result of before T was fitted",
        of_answers=scaled_calibration_error,
        shown=(),
    ),
)
METRICS.add(
    "aurc",
    Metric(
        title="AURC",
        meaning="share of wrong answers if only the surest are given, mean over how many (area under the risk-coverage curve)",
        formula="mean over k = 1 ... n of the share wrong among the k most probable answers",
        remark="lower is better; equally sure answers count as their mean (Geifman et al. 2019)",
        of_answers=area_under_risk_coverage,
        shown=(),
    ),
)
