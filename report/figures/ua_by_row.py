"""UA of every head with what it is the mean of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mer.report.figures.style import COLOURS, COLUMN, GREY, new_figure, paper_style, wrapped

NEAR = 0.15
"""Where the worst run is further above chance, chance is not drawn: it would press all points together."""


@dataclass(frozen=True, kw_only=True)
class RunScore:
    """UA of one (fold, seed)."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    ua: float
    """Unweighted accuracy, or another measure, of 1."""


def ua_by_row_figure(scores: Mapping[str, Sequence[RunScore]], chance: float, measure: str = "UA") -> Figure:
    """One line a head: its mean, each fold's mean over seeds, and each seed's mean over folds.

    Args:
        scores: head to its runs.
        chance: UA of guessing, of 1.
        measure: what is shown, if not UA.
    """
    with paper_style():
        figure = new_figure(COLUMN, max(1.8, 0.8 + sum(0.24 + 0.12 * wrapped(name).count("\n") for name in scores)))
        axis = figure.subplots()
        for place, runs in enumerate(scores.values()):
            folds, seeds = _means(runs, "fold"), _means(runs, "seed")
            first = place == 0
            axis.plot(
                folds,
                np.full(len(folds), place - 0.12),
                "o",
                color=COLOURS[0],
                markersize=3.5,
                markerfacecolor="none",
                label="a test session" if first else None,
            )
            if len(seeds) > 1:
                axis.plot(
                    seeds,
                    np.full(len(seeds), place + 0.16),
                    "^",
                    color=COLOURS[1],
                    markersize=3.5,
                    label="a seed" if first else None,
                )
            mean = 100 * float(np.mean([run.ua for run in runs]))
            axis.plot([mean, mean], [place - 0.32, place + 0.32], color="black", linewidth=1.6, label="mean" if first else None)
            axis.annotate(f"{mean:.1f}", (1.02, place), xycoords=("axes fraction", "data"), va="center", size=6)
        if min(run.ua for runs in scores.values() for run in runs) < chance + NEAR:
            axis.axvline(100 * chance, color=GREY, linestyle="--", linewidth=0.6, label="chance")
        axis.set_yticks(range(len(scores)), [wrapped(name) for name in scores])
        axis.set_ylim(len(scores) - 0.5, -0.5)
        axis.set_ylabel("head (granularities)")
        axis.set_xlabel(f"{measure} on test sessions (%)")
        figure.legend(loc="outside upper center", ncols=4, fontsize=6, columnspacing=1.0, handletextpad=0.4)
    return figure


def _means(runs: Sequence[RunScore], by: str) -> list[float]:
    found: dict[object, list[float]] = {}
    for run in runs:
        found.setdefault(getattr(run, by), []).append(run.ua)
    return [100 * sum(values) / len(values) for values in found.values()]
