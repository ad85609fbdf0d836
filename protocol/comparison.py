"""Which differences between the rows of a table mean anything: paired tests, Holm's correction, published figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from mer.protocol.bootstrap import DRAWS, RunAnswers, bootstrap_difference
from mer.protocol.errors import ProtocolError
from mer.protocol.metrics import ROUNDING, confusion, unweighted_accuracy

Cells = Mapping[tuple[str, int], float]
"""UA of each (fold, seed), as a share of 1."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Row `a` minus row `b`, paired by (fold, seed)."""

    pairs: int
    """(fold, seed) that both rows have."""
    unpaired: int
    """(fold, seed) that only one of them has; they take no part."""
    folds: int
    """Folds among the pairs."""
    difference: float
    """Mean over the pairs, as a share of 1."""
    p: float | None
    """Paired t-test over all pairs, two-sided. It takes the seeds of a fold for independent, which they are not."""
    p_folds: float | None
    """The same test over the means of the folds: fewer values, and none of them counted five times."""


@dataclass(frozen=True, kw_only=True)
class RowComparison:
    """One row of a table against the reference row."""

    row: str
    """Its name."""
    reference: str
    """Name of the row it is compared with."""
    pairs: int
    """(fold, seed) that both rows have."""
    difference: float
    """UA of the row minus UA of the reference, as a share of 1."""
    low: float
    """Lower end of the 95 % bootstrap interval."""
    high: float
    """Upper end."""
    p: float | None
    """Paired t-test over (fold, seed)."""
    p_holm: float | None
    """The same, corrected over the table."""
    p_folds: float | None
    """Paired t-test over fold means."""
    p_folds_holm: float | None
    """The same, corrected over the table."""
    p_bootstrap: float
    """Bootstrap over utterances, not corrected."""

    def as_dict(self) -> dict[str, object]:
        """Plain numbers, for JSON."""
        return asdict(self)


Verdict = Literal["inside", "outside", "unknown"]


@dataclass(frozen=True, kw_only=True)
class PublishedComparison:
    """Our UA beside a published one, as shares of 1."""

    published: float
    """The paper's number."""
    difference: float
    """Ours minus the paper's."""
    noise: float | None
    """Half-width of what two such means differ by when only the seeds differ; None where ours is of a single seed or the
    number of the paper's is not known."""
    paper_seeds: int | None
    """Seeds that the paper's number is the mean of; None where that is not known, so that nothing is claimed."""
    verdict: Verdict
    """Whether the difference is inside the noise."""

    def as_dict(self) -> dict[str, object]:
        """Plain numbers, for JSON."""
        return asdict(self)


def compare(a: Cells, b: Cells) -> Comparison:
    """Compare two rows over the (fold, seed) that both have.

    t = mean(d) / (std(d) / sqrt(n)) with n - 1 degrees of freedom (Student 1908), d being the n differences, and
    again with the mean difference of each fold as d. `docs/statistics.md` says which of the two to believe.

    Args:
        a: UA of each (fold, seed).
        b: UA of each (fold, seed) of the row to compare with.

    Raises:
        ProtocolError: the rows have no (fold, seed) in common.
    """
    both = sorted(set(a) & set(b))
    if not both:
        raise ProtocolError(f"the two rows, {len(a)} and {len(b)} runs, have no (fold, seed) in common: nothing to compare")
    differences = {cell: a[cell] - b[cell] for cell in both}
    folds = sorted({fold for fold, _ in both})
    means = [float(np.mean([value for (where, _), value in differences.items() if where == fold])) for fold in folds]
    values = list(differences.values())
    return Comparison(
        pairs=len(both),
        unpaired=len(set(a) ^ set(b)),
        folds=len(folds),
        difference=float(np.mean(values)),
        p=_t_test(values),
        p_folds=_t_test(means),
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for how many there are (Holm 1979, "A simple sequentially rejective multiple test procedure").

    The k-th smallest of m is multiplied by m - k + 1, is never below the one before it, and at most 1. The chance
    of one wrong claim or more among all is then at most the level, whatever the tests have to do with each other.

    Args:
        p_values: None where there was no test; stays None and does not count.

    Raises:
        ProtocolError: a value outside 0..1.
    """
    tested = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    wrong = [value for value, _ in tested if not 0 <= value <= 1]
    if wrong:
        raise ProtocolError(f"a p-value must lie between 0 and 1, got {wrong[0]}")
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * value))
        corrected[place] = largest
    return corrected


def compare_rows(
    rows: Mapping[str, Sequence[RunAnswers]],
    reference: str,
    classes: int,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[RowComparison]:
    """Compare every row of a table with one of them; p-values are corrected over the table.

    A reference that was chosen because it came out best favours itself: choose it beforehand to claim anything.

    Args:
        rows: name of each row to its runs.
        reference: name of the row to compare with.
        classes: number of classes.
        draws: bootstrap samples.
        seed: decides the bootstrap's draws.

    Raises:
        ProtocolError: there is no such reference, or two rows cannot be compared (`compare`,
            `bootstrap_difference`); the message names the row.
    """
    if reference not in rows:
        raise ProtocolError(f"there is no row {reference!r} to compare with, expected one of {', '.join(rows)}")
    scores = {name: _cells(runs, classes) for name, runs in rows.items()}
    others = [name for name in rows if name != reference]
    found = []
    for name in others:
        try:
            interval = bootstrap_difference(rows[name], rows[reference], classes, draws=draws, seed=seed)
            found.append((compare(scores[name], scores[reference]), interval))
        except ProtocolError as problem:
            raise ProtocolError(f"{name} against {reference}: {problem}") from None
    runs_holm = holm([comparison.p for comparison, _ in found])
    folds_holm = holm([comparison.p_folds for comparison, _ in found])
    return [
        RowComparison(
            row=name,
            reference=reference,
            pairs=comparison.pairs,
            difference=comparison.difference,
            low=interval.low,
            high=interval.high,
            p=comparison.p,
            p_holm=corrected,
            p_folds=comparison.p_folds,
            p_folds_holm=folds_corrected,
            p_bootstrap=interval.p,
        )
        for name, (comparison, interval), corrected, folds_corrected in zip(others, found, runs_holm, folds_holm, strict=True)
    ]


def against_published(
    *, ours: float, std_seeds: float | None, seeds: int, published: float, paper_seeds: int | None
) -> PublishedComparison:
    """Whether our UA differs from a paper's by more than training noise.

    Inside: abs(ours - published) <= t(0.975, seeds - 1) std_seeds sqrt(1 / seeds + 1 / paper_seeds), the t interval for two
    means of so many seeds of one spread. That spread is estimated from our seeds alone, since papers print none: the
    paper's is taken to be ours. With one run of the paper this is the interval for one more run of ours. Another split,
    another version of an encoder or of the corpus is not in it.

    Args:
        ours: mean UA over folds and seeds, a share of 1.
        std_seeds: sample deviation over seeds of the mean over folds; None for a single seed.
        seeds: number of seeds, 1 or more.
        published: the paper's UA, a share of 1.
        paper_seeds: seeds that the paper's UA is the mean of; None where that is not known.

    Raises:
        ProtocolError: a UA that is no share of 1, fewer than one seed, or a deviation without two seeds.
    """
    for name, value in (("our", ours), ("the published", published)):
        if not 0 <= value <= 1:
            raise ProtocolError(f"{name} UA must be a share between 0 and 1, got {value}; divide percent by 100")
    if seeds < 1 or (std_seeds is not None and seeds < 2):
        raise ProtocolError(f"a spread of {std_seeds} over {seeds} seeds is impossible; give None for a single seed")
    if paper_seeds is not None and paper_seeds < 1:
        raise ProtocolError(f"a paper's figure is of 1 seed or more, got {paper_seeds}; give None where it is not known")
    difference = ours - published
    noise: float | None = None
    verdict: Verdict = "unknown"
    if std_seeds is not None and paper_seeds is not None:
        from scipy.special import stdtrit  # takes longer to import than most commands to run

        noise = float(stdtrit(seeds - 1, 0.975)) * std_seeds * math.sqrt(1 / seeds + 1 / paper_seeds)
        verdict = "inside" if abs(difference) <= noise else "outside"
    return PublishedComparison(published=published, difference=difference, noise=noise, paper_seeds=paper_seeds, verdict=verdict)


def _cells(runs: Sequence[RunAnswers], classes: int) -> dict[tuple[str, int], float]:
    return {(run.fold, run.seed): unweighted_accuracy(confusion(run.truth, run.prediction, classes)) for run in runs}


def _t_test(differences: Sequence[float]) -> float | None:
    """Two-sided p; 1 when all are zero; None for one value, or equal ones, which say nothing about their spread."""
    values = np.array(differences)
    if len(values) < 2:
        return None
    if np.all(np.abs(values) < ROUNDING):
        return 1.0
    spread = float(np.std(values, ddof=1))
    if spread < ROUNDING:
        return None
    from scipy.special import stdtr

    return float(2 * stdtr(len(values) - 1, -abs(float(values.mean())) / (spread / math.sqrt(len(values)))))
