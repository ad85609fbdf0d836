"""Risk-coverage curves: how many answers are wrong where only the surest are given."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from mer.report.figures.style import COLOURS, COLUMN, new_figure, paper_style, wrapped

DASHES = ("-", "--", ":")
"""First for seven heads, then for the next seven, and so on."""


def risk_coverage_figure(risks: Mapping[str, Float64[np.ndarray, " _"]]) -> Figure:
    """A line per head: share of wrong answers over the share of utterances that are answered, the surest first.

    Args:
        risks: head to the share of wrong answers among its 1, 2, ... surest.
    """
    with paper_style():
        figure = new_figure(COLUMN, 2.3 + 0.14 * -(-len(risks) // 3))
        axis = figure.subplots()
        for place, (name, each) in enumerate(risks.items()):
            axis.plot(
                100 * np.arange(1, len(each) + 1) / len(each),
                100 * each,
                color=COLOURS[place % len(COLOURS)],
                linestyle=DASHES[place // len(COLOURS) % len(DASHES)],
                label=wrapped(name),
            )
        axis.set_xlim(0, 100)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("coverage: utterances answered, surest first (%)")
        axis.set_ylabel("risk: wrong (%)")
        figure.legend(loc="outside upper center", ncols=3, fontsize=6, columnspacing=1.0)
    return figure
