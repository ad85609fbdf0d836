"""Learned shares of the encoder layers."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mer.cache.granularity import unit_of
from mer.report.figures.style import COLOURS, COLUMN, GREY, MARKERS, new_figure, paper_style

NAMES = {"F": "frame", "P": "phone", "S": "syllable", "W": "word", "T": "wordpiece (text)"}


def layer_weights_figure(shares: Mapping[str, Sequence[Sequence[float]]], layers: Mapping[str, Sequence[int]]) -> Figure:
    """Share of each layer by granularity: mean over runs with its standard deviation, beside equal shares.

    Args:
        shares: granularity to its runs, each with one share per layer, of 1.
        layers: granularity to the numbers of its layers.
    """
    with paper_style():
        figure = new_figure(COLUMN, 2.4)
        axis = figure.subplots()
        for place, (name, runs) in enumerate(shares.items()):
            values = 100 * np.array(runs, dtype=np.float64)
            # Of the distances from the first run: equal shares have a deviation of exactly 0.
            spread = (values - values[0]).std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
            colour = COLOURS[place % len(COLOURS)]
            # Side by side, so that error bars of one layer can be told apart.
            where = np.array(layers[name]) + 0.12 * (place - (len(shares) - 1) / 2)
            axis.errorbar(
                where,
                values.mean(axis=0),
                yerr=spread,
                color=colour,
                marker=MARKERS[place % len(MARKERS)],
                markersize=3,
                elinewidth=0.6,
                label=f"{name} {NAMES.get(unit_of(name), '')}".strip(),
            )
        numbers = sorted({number for each in layers.values() for number in each})
        for place, count in enumerate(sorted({len(layers[name]) for name in shares})):  # encoders may differ in depth
            label = None if place else "equal shares"
            axis.axhline(100 / count, color=GREY, linestyle="--", linewidth=0.6, zorder=0, label=label)
        axis.set_xticks(numbers)
        axis.set_xlabel("transformer layer (number)")
        axis.set_ylabel("share in the average (%)")
        handles, names = axis.get_legend_handles_labels()
        # matplotlib puts lines before error bars: the granularities come first here, and rows of a legend are filled evenly.
        order = [*range(1, len(names)), 0]
        figure.legend(
            [handles[place] for place in order],
            [names[place] for place in order],
            loc="outside upper center",
            ncols=len(names) if len(names) < 4 else -(-len(names) // 2),
            fontsize=6,
        )
    return figure
