"""Room for the names of heads, which may have several lines: in legends and beside rows."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from mer.report.figures.style import wrapped

LETTER, HANDLE = 0.048, 0.45
"""Width of a letter of 6 points, and of a legend's sign with the space around it, in inches."""
LINE, BETWEEN = 0.105, 0.05
"""Height of a line of a legend and of the space between its entries, in inches."""
ROW = 0.25
"""Height of a row with a name of one line, in inches."""


def legend_columns(names: Sequence[str], width: float) -> int:
    """How many columns of names, as `wrapped` has them, fit into a width in inches; three at most.

    Args:
        names: at least one.
        width: of the figure.
    """
    longest = max(len(line) for name in names for line in wrapped(name).split("\n"))
    return max(1, min(3, len(names), int(width / (LETTER * longest + HANDLE))))


def legend_height(names: Sequence[str], width: float) -> float:
    """Height of `head_legend`, in inches; arguments as for `legend_columns`."""
    heights = [LINE * len(wrapped(name).split("\n")) + BETWEEN for name in names]
    columns = legend_columns(names, width)
    rows, longer = divmod(len(names), columns)
    # matplotlib fills the first columns first.
    ends = [place * rows + min(place, longer) for place in range(columns + 1)]
    return max(sum(heights[start:end]) for start, end in pairwise(ends)) + 0.1


def head_legend(figure: Figure, handles: Sequence[Artist], names: Sequence[str]) -> None:
    """A legend above the figure in as many columns as fit; a figure has to be `legend_height` higher for it."""
    columns = legend_columns(names, figure.get_figwidth())
    figure.legend(
        list(handles),
        [wrapped(name) for name in names],
        loc="outside upper center",
        ncols=columns,
        fontsize=6,
        columnspacing=1.0,
        handletextpad=0.4,
    )


def row_places(names: Sequence[str]) -> tuple[list[float], float]:
    """Where the middle of each row is, from 0 downwards, and where the last row ends; 1 is the height of a name of one line."""
    places, end = [], 0.0
    for name in names:
        height = 1.0 + 0.48 * wrapped(name).count("\n")
        places.append(end + height / 2)
        end += height
    return places, end
