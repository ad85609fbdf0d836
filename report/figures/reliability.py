"""Reliability diagrams: how often answers of each confidence are right."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mer.protocol.calibration import Reliability
from mer.report.figures.style import BAND, COLUMN, GREY, PAGE, new_figure, paper_style, wrapped
from mer.report.head_looks import HeadLook

ACROSS = 4
"""Panels side by side."""
SIDE = 1.5
"""Width of a panel, in inches."""
KINDS = (("o", "-", "as it is"), ("s", "--", "at the temperature"))
"""Marker, dashes and name of the two lines of a head."""


def reliability_figure(found: Mapping[str, tuple[Reliability, Reliability | None]], looks: Mapping[str, HeadLook]) -> Figure:
    """One panel per head: the share that is right over the mean confidence, bin by bin, and behind it where the answers are.

    Args:
        found: head to the bins of its probabilities as they are, and at the temperature where there is one.
        looks: of each head.
    """
    across = min(len(found), ACROSS)
    down = -(-len(found) // across)
    with paper_style():
        figure = new_figure(COLUMN if across < 3 else PAGE, down * (SIDE + 0.4) + 0.3)
        axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for place, axis in enumerate(axes.flat):
            axis.set_visible(place < len(found))
        for place, (name, (plain, scaled)) in enumerate(found.items()):
            axis = axes.flat[place]
            _draw(axis, plain, scaled, looks[name].colour)
            axis.set_title(wrapped(name))
            if place >= len(found) - across:
                axis.set_xlabel("confidence (%)")
            if place % across == 0:
                axis.set_ylabel("right (%)")
        shown = KINDS if any(scaled is not None for _, scaled in found.values()) else KINDS[:1]
        keys = [Line2D([], [], color=GREY, marker=marker, linestyle=dash, markersize=2.5) for marker, dash, _ in shown]  # type: ignore[arg-type]  # its stub wants literals
        told = [name for _, _, name in shown]
        figure.legend(keys, told, loc="outside upper center", ncols=3, fontsize=6, columnspacing=1.0)
    return figure


def _draw(axis: Axes, plain: Reliability, scaled: Reliability | None, colour: str) -> None:
    bins = len(plain.counts)
    shares = 100 * plain.counts / plain.counts.sum()
    axis.bar([100 * (place + 0.5) / bins for place in range(bins)], shares, width=100 / bins, color=BAND, zorder=0)
    axis.plot([0, 100], [0, 100], color=GREY, linestyle="--", linewidth=0.6, zorder=1)
    for each, (marker, dash, label) in zip((plain, scaled), KINDS, strict=True):
        if each is not None:
            filled = each.counts > 0
            x, y = 100 * each.confidence[filled], 100 * each.accuracy[filled]
            face = colour if each is plain else "none"
            axis.plot(x, y, color=colour, marker=marker, linestyle=dash, markerfacecolor=face, markersize=2.5, label=label)
    axis.set_xlim(0, 100)
    axis.set_ylim(0, 100)
