"""Differences that are paired by fold and seed: rows against one of them, or one part of the utterances against another."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mer.report.figures.room_for_names import ROW, row_places
from mer.report.figures.style import COLUMN, GREY, PAGE, new_figure, paper_style, wrapped
from mer.report.figures.ua_by_row import RunScore, fold_means
from mer.report.head_looks import HeadLook

ACROSS = 3
"""Panels side by side."""


def differences_figure(
    panels: Mapping[str, Mapping[str, Sequence[RunScore]]],
    looks: Mapping[str, HeadLook],
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """A panel a difference, in it a line a head: its mean, the mean over seeds of each fold, and its interval.

    Args:
        panels: what is subtracted from what, to head to its difference in each (fold, seed), of 1.
        looks: of each head.
        intervals: head to the ends of the interval of its mean; none are drawn without.
    """
    heads = list(dict.fromkeys(name for of_heads in panels.values() for name in of_heads))
    across = min(len(panels), ACROSS)
    down = -(-len(panels) // across)
    height = max(1.0, ROW * row_places(heads)[1]) + 0.65
    with paper_style():
        figure = new_figure(COLUMN if across == 1 else PAGE, down * height + 0.25)
        axes = figure.subplots(down, across, squeeze=False, sharey=True)
        for place, axis in enumerate(axes.flat):
            axis.set_visible(place < len(panels))
        for place, (title, of_heads) in enumerate(panels.items()):
            axis = axes.flat[place]
            _draw(axis, heads, of_heads, looks, intervals or {})
            axis.set_title(title)
            axis.set_xlabel("difference in UA (points)")
            if place % across == 0:
                axis.set_ylabel("head (granularities)")
        keys = [Line2D([], [], color=GREY, marker="o", markerfacecolor="none", linestyle="none", markersize=3.5)]
        keys.append(Line2D([], [], color=GREY, marker="|", linestyle="none", markersize=7, markeredgewidth=1.8))
        told = ["a test session", "mean"]
        if intervals:
            keys.append(Line2D([], [], color=GREY, linewidth=0.8))
            told.append("95 % interval")
        figure.legend(keys, told, loc="outside upper center", ncols=3, fontsize=6, columnspacing=1.0, handletextpad=0.4)
    return figure


def _draw(
    axis: Axes,
    heads: Sequence[str],
    scores: Mapping[str, Sequence[RunScore]],
    looks: Mapping[str, HeadLook],
    intervals: Mapping[str, tuple[float, float]],
) -> None:
    axis.axvline(0, color=GREY, linestyle="--", linewidth=0.6, zorder=0)
    places, end = row_places(heads)
    for place, name in zip(places, heads, strict=True):
        runs, colour = scores.get(name, ()), looks[name].colour
        if not runs:
            continue
        folds = fold_means(runs)
        mean = 100 * float(np.mean([run.ua for run in runs]))
        axis.plot(folds, np.full(len(folds), place), "o", color=colour, markersize=3.5, markerfacecolor="none")
        if name in intervals:
            axis.plot([100 * end for end in intervals[name]], [place + 0.22] * 2, color=colour, linewidth=0.8)
        axis.plot([mean, mean], [place - 0.3, place + 0.3], color=colour, linewidth=1.8)
        axis.annotate(f"{mean:+.1f}", (1.02, place), xycoords=("axes fraction", "data"), va="center", size=6)
    axis.set_yticks(places, [wrapped(name) for name in heads])
    axis.set_ylim(end, 0)
