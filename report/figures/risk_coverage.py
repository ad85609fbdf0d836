"""Risk-coverage curves: how many answers are wrong where only the surest are given."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from mer.report.figures.room_for_names import head_legend, legend_height
from mer.report.figures.style import COLUMN, new_figure, paper_style
from mer.report.head_looks import HeadLook

SPIKE = 0.05
"""Coverage below which a curve may leave the axis at its top."""


def risk_coverage_figure(risks: Mapping[str, Float64[np.ndarray, " _"]], looks: Mapping[str, HeadLook]) -> Figure:
    """A line per head: share of wrong answers over the share of utterances that are answered, the surest first.

    Args:
        risks: head to the share of wrong answers among its 1, 2, ... surest.
        looks: of each head.
    """
    with paper_style():
        figure = new_figure(COLUMN, 2.1 + legend_height(list(risks), COLUMN))
        axis = figure.subplots()
        for name, each in risks.items():
            axis.plot(
                100 * np.arange(1, len(each) + 1) / len(each),
                100 * each,
                color=looks[name].colour,
                linestyle=looks[name].dash,
                label=name,
            )
        axis.set_xlim(0, 100)
        # A few surest answers may all be wrong: that spike would press all else together.
        highest = max(float(each[int(SPIKE * len(each)) :].max()) for each in risks.values())
        axis.set_ylim(0, min(100.0, max(10.0, 120 * highest)))
        axis.set_xlabel("coverage: utterances answered, surest first (%)")
        axis.set_ylabel("risk: wrong (%)")
        head_legend(figure, *axis.get_legend_handles_labels())
    return figure
