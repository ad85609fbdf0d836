"""Confusion matrices: counts and recalls."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mer.report.figures.style import COLUMN, PAGE, new_figure, paper_style, wrapped

CELL = 0.29
"""Width of a cell that holds `100 %`, in inches."""
LARGEST = 1.5
"""Width of a matrix above which more of them stand side by side, in inches."""
MOST = 2.6
"""Width of a matrix that stands alone or with one other, in inches."""


def confusion_figure(matrices: Mapping[str, Sequence[Sequence[int]]], classes: Sequence[str], seeds: Mapping[str, int]) -> Figure:
    """One matrix per head: utterances of a class (row) that were given another (column), and their share of the row.

    Args:
        matrices: head to its counts over all folds and seeds.
        classes: class names.
        seeds: head to its number of seeds; counts are divided by it.
    """
    room = PAGE - 0.6  # beside the names of the classes
    across = min(len(matrices), max(1, int(room / max(LARGEST, CELL * len(classes)))))
    down = -(-len(matrices) // across)
    width = COLUMN if across == 1 and CELL * len(classes) < COLUMN - 0.6 else PAGE
    side = min((width - 0.6) / across, max(MOST, CELL * len(classes)))
    with paper_style():
        figure = new_figure(width, down * (side + 0.6))
        axes = figure.subplots(down, across, squeeze=False)
        for place, axis in enumerate(axes.flat):
            axis.set_visible(place < len(matrices))
        for place, (name, matrix) in enumerate(matrices.items()):
            axis = axes.flat[place]
            _draw(axis, np.array(matrix, dtype=np.float64) / seeds[name], classes, first=place % across == 0)
            axis.set_title(wrapped(name))
            if place >= len(matrices) - across:
                axis.set_xlabel("prediction (class)")
    return figure


def _draw(axis: Axes, counts: np.ndarray, classes: Sequence[str], *, first: bool) -> None:
    sizes = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sizes, out=np.zeros_like(counts), where=sizes > 0)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.72 else "black"
        text = f"{100 * shares[row, column]:.0f} %\n{counts[row, column]:,.0f}"
        axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=5.5)
    axis.set_xticks(range(len(classes)), classes, rotation=30, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(classes)), classes if first else [""] * len(classes))
    axis.tick_params(length=0, labelsize=6)
    axis.spines[:].set_visible(False)
    if first:
        axis.set_ylabel("label (class)")
