"""UA of every head with what it is the mean of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mer.report.figures.room_for_names import ROW, row_places
from mer.report.figures.style import COLUMN, GREY, new_figure, paper_style, wrapped
from mer.report.head_looks import HeadLook

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


def ua_by_row_figure(
    scores: Mapping[str, Sequence[RunScore]], looks: Mapping[str, HeadLook], chance: float, measure: str = "UA"
) -> Figure:
    """One line a head: its mean, each fold's mean over seeds, and each seed's mean over folds.

    Args:
        scores: head to its runs.
        looks: of each head.
        chance: UA of guessing, of 1.
        measure: what is shown, if not UA.
    """
    with paper_style():
        places, end = row_places(list(scores))
        figure = new_figure(COLUMN, max(1.8, 0.8 + ROW * end))
        axis = figure.subplots()
        seeds_shown = False
        for place, (name, runs) in zip(places, scores.items(), strict=True):
            folds, seeds, colour = fold_means(runs), _means(runs, "seed"), looks[name].colour
            axis.plot(folds, np.full(len(folds), place - 0.12), "o", color=colour, markersize=3.5, markerfacecolor="none")
            if len(seeds) > 1:
                axis.plot(seeds, np.full(len(seeds), place + 0.16), "^", color=colour, markersize=3.5)
                seeds_shown = True
            mean = 100 * float(np.mean([run.ua for run in runs]))
            axis.plot([mean, mean], [place - 0.32, place + 0.32], color=colour, linewidth=1.8)
            axis.annotate(f"{mean:.1f}", (1.02, place), xycoords=("axes fraction", "data"), va="center", size=6)
        keys = [Line2D([], [], color=GREY, marker="o", markerfacecolor="none", linestyle="none", markersize=3.5)]
        told = ["a test session"]
        if seeds_shown:
            keys.append(Line2D([], [], color=GREY, marker="^", linestyle="none", markersize=3.5))
            told.append("a seed")
        keys.append(Line2D([], [], color=GREY, marker="|", linestyle="none", markersize=7, markeredgewidth=1.8))
        told.append("mean")
        if min(run.ua for runs in scores.values() for run in runs) < chance + NEAR:
            keys.append(axis.axvline(100 * chance, color=GREY, linestyle="--", linewidth=0.6, label="chance"))
            told.append("chance")
        axis.set_yticks(places, [wrapped(name) for name in scores])
        axis.set_ylim(end, 0)
        axis.set_ylabel("head (granularities)")
        axis.set_xlabel(f"{measure} on test sessions (%)")
        figure.legend(keys, told, loc="outside upper center", ncols=4, fontsize=6, columnspacing=1.0, handletextpad=0.4)
    return figure


def fold_means(runs: Sequence[RunScore]) -> list[float]:
    """Mean over seeds of each fold, in percent."""
    return _means(runs, "fold")


def _means(runs: Sequence[RunScore], by: str) -> list[float]:
    found: dict[object, list[float]] = {}
    for run in runs:
        found.setdefault(getattr(run, by), []).append(run.ua)
    return [100 * sum(values) / len(values) for values in found.values()]
