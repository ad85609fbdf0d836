"""Learning curves: the mean over the runs of a head, and how far they lie apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mer.report.figures.style import COLUMN, PAGE, new_figure, paper_style, wrapped
from mer.report.head_looks import HeadLook

ACROSS = 4
"""Panels side by side."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanCurve:
    """The runs of a head together, epoch by epoch; shares of 1."""

    epochs: Int64[np.ndarray, " epochs"]
    """Numbers of the epochs that at least half of the runs have reached."""
    mean: Float64[np.ndarray, " epochs"]
    """Mean of the runs that have reached the epoch."""
    spread: Float64[np.ndarray, " epochs"]
    """Standard deviation over them; 0 where a single one has."""


def mean_curve(runs: Sequence[Mapping[int, float]]) -> MeanCurve:
    """Mean and standard deviation over runs that end at different epochs.

    An epoch that fewer than half of the runs have reached is left out: early stopping ends most of them before, and the mean of
    those that are left would say more of them than of the head.

    Args:
        runs: each with the score of its epochs by their number.
    """
    numbers = sorted({number for run in runs for number in run})
    reached = {number: [run[number] for run in runs if number in run] for number in numbers}
    kept = [number for number in numbers if 2 * len(reached[number]) >= len(runs)]
    return MeanCurve(
        epochs=np.array(kept, dtype=np.int64),
        mean=np.array([np.mean(reached[number]) for number in kept], dtype=np.float64),
        spread=np.array([np.std(reached[n], ddof=1) if len(reached[n]) > 1 else 0.0 for n in kept], dtype=np.float64),
    )


def learning_curves_figure(
    epochs: Mapping[str, Sequence[Mapping[str, Any]]],
    kept: Mapping[str, Mapping[tuple[str, int], int]],
    looks: Mapping[str, HeadLook],
    measure: str = "UA",
) -> Figure:
    """Validation UA by epoch, a panel a head: mean over runs, a band of one standard deviation, a dot a run that has ended.

    Args:
        epochs: head to its epochs.
        kept: head to the epoch whose weights were kept, by (fold, seed); a run that still trains has none.
        looks: of each head.
        measure: `UA` or `CCC`.
    """
    across = min(ACROSS, len(epochs))
    down = -(-len(epochs) // across)
    with paper_style():
        names = [wrapped(name) for name in epochs]
        titles = sum(0.12 * max(name.count("\n") for name in names[row : row + across]) for row in range(0, len(names), across))
        figure = new_figure(COLUMN if across == 1 else PAGE, 1.4 * down + titles + 0.3)
        axes = figure.subplots(down, across, squeeze=False, sharey=True)
        for place, axis in enumerate(axes.flat):
            axis.set_visible(place < len(epochs))
        for place, (name, lines) in enumerate(epochs.items()):
            axis, colour = axes.flat[place], looks[name].colour
            runs = _runs(lines, f"validation_{measure.lower()}")
            curve = mean_curve(list(runs.values()))
            low, high = 100 * (curve.mean - curve.spread), 100 * (curve.mean + curve.spread)
            axis.fill_between(curve.epochs, low, high, color=colour, alpha=0.2, linewidth=0)
            axis.plot(curve.epochs, 100 * curve.mean, color=colour)
            ended = [(best, 100 * run[best]) for cell, run in runs.items() if (best := kept.get(name, {}).get(cell)) in run]
            # By validation loss, so it is not always the highest point.
            axis.plot(*zip(*ended, strict=True) if ended else ([], []), "o", color=colour, markersize=2.2, alpha=0.6)
            axis.set_title(wrapped(name))
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if place % across == 0:
                axis.set_ylabel(f"validation {measure} (%)")
            if place >= len(epochs) - across:
                axis.set_xlabel("epoch (number)")
    return figure


def _runs(lines: Sequence[Mapping[str, Any]], key: str) -> dict[tuple[str, int], dict[int, float]]:
    """(fold, seed) to the score of its epochs."""
    found: dict[tuple[str, int], dict[int, float]] = {}
    for line in lines:
        if line.get(key) is not None:
            found.setdefault((str(line["fold"]), int(line["seed"])), {})[int(line["epoch"])] = float(line[key])
    return found
