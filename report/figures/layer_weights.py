"""Learned shares of the encoder layers."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mer.cache.granularity import unit_of
from mer.report.figures.room_for_names import head_legend, legend_height
from mer.report.figures.style import COLUMN, GREY, PAGE, new_figure, paper_style
from mer.report.head_looks import HeadLook

NAMES = {"F": "frame", "P": "phone", "S": "syllable", "W": "word", "T": "wordpiece (text)"}
ACROSS = 3
"""Panels side by side."""
EQUAL = "equal shares"
Shares = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]
"""Granularity to head to its runs, each with one share per layer, of 1."""
Layers = Mapping[str, Mapping[str, Sequence[int]]]
"""Granularity to head to the numbers of its layers."""


def layer_weights_figure(shares: Shares, layers: Layers, looks: Mapping[str, HeadLook]) -> Figure:
    """A panel a granularity, in it the share of each layer in every head: mean over runs with its standard deviation.

    Args:
        shares: of the heads that read each granularity.
        layers: of the same.
        looks: of each head.
    """
    across = min(len(shares), ACROSS)
    down = -(-len(shares) // across)
    heads = list(dict.fromkeys(name for of_heads in shares.values() for name in of_heads))
    with paper_style():
        names, width = [*heads, EQUAL], COLUMN if across == 1 else PAGE
        figure = new_figure(width, 1.9 * down + legend_height(names, width) + 0.1)
        axes = figure.subplots(down, across, squeeze=False)
        for place, axis in enumerate(axes.flat):
            axis.set_visible(place < len(shares))
        for place, (granularity, of_heads) in enumerate(shares.items()):
            axis = axes.flat[place]
            _draw(axis, of_heads, layers[granularity], looks)
            axis.set_title(f"{granularity} {NAMES.get(unit_of(granularity), '')}".strip())
            axis.set_xlabel("transformer layer (number)")
            if place % across == 0:
                axis.set_ylabel("share in the average (%)")
        handles = {name: handle for axis in axes.flat for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
        head_legend(figure, [handles[name] for name in names], names)
    return figure


def _draw(
    axis: Axes,
    shares: Mapping[str, Sequence[Sequence[float]]],
    layers: Mapping[str, Sequence[int]],
    looks: Mapping[str, HeadLook],
) -> None:
    for place, (name, runs) in enumerate(shares.items()):
        values, look = 100 * np.array(runs, dtype=np.float64), looks[name]
        # Of the distances from the first run: equal shares have a deviation of exactly 0.
        spread = (values - values[0]).std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
        # Side by side, so that error bars of one layer can be told apart.
        shift = 0.5 * ((place + 0.5) / len(shares) - 0.5)
        axis.errorbar(
            np.array(layers[name]) + shift,
            values.mean(axis=0),
            yerr=spread,
            color=look.colour,
            marker=look.marker,
            markerfacecolor=look.face,
            linestyle=look.dash,
            markersize=2.5,
            linewidth=0.8,
            elinewidth=0.5,
            ecolor=(look.colour, 0.5),
            label=name,
        )
    for count in sorted({len(layers[name]) for name in shares}):  # encoders may differ in depth
        axis.axhline(100 / count, color=GREY, linestyle="--", linewidth=0.6, zorder=0, label=EQUAL)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
