"""Learned layer shares as bars, one small chart a granularity."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

CELLS = 16
"""Width of a bar's field."""
EIGHTHS = " ▏▎▍▌▋▊▉█"
CAPTION = (
    "Learned share of each layer in the layer average in percent (shares add up to 100 and may be negative), mean over runs "
    "± standard deviation over runs."
)


def layer_chart(shares: Mapping[str, Sequence[Sequence[float]]], layers: Mapping[str, Sequence[int]]) -> RenderableType:
    """One horizontal bar per layer and granularity, all on one scale; charts stand side by side where there is room.

    Args:
        shares: granularity to its runs, each the shares of the layers, of 1. One run has no spread.
        layers: granularity to the numbers of its layers, in the order of the shares.

    Raises:
        ValueError: a granularity without runs, or with another number of shares than of layers.
    """
    by_layer = {name: _of_layers(name, runs, layers.get(name, ())) for name, runs in shares.items()}
    largest = max((abs(fmean(values)) for columns in by_layer.values() for values in columns), default=0.0)
    charts = [_chart(name, layers[name], columns, largest) for name, columns in by_layer.items()]
    return Group(Columns(charts, padding=(1, 3)), Text(CAPTION, style="dim"))


def _of_layers(name: str, runs: Sequence[Sequence[float]], layers: Sequence[int]) -> list[tuple[float, ...]]:
    """The shares of each layer in all runs."""
    if not runs or not layers or any(len(run) != len(layers) for run in runs):
        found = " and ".join(str(length) for length in sorted({len(run) for run in runs})) or "no"
        raise ValueError(f"granularity {name}: {found} shares a run for {len(layers)} layers; give one share per layer")
    return list(zip(*runs, strict=True))


def _chart(name: str, layers: Sequence[int], columns: Sequence[Sequence[float]], largest: float) -> Table:
    runs = len(columns[0])
    table = Table(title=f"{name} ({runs} run{'s' if runs > 1 else ''})", title_justify="left", box=None, show_header=False)
    table.padding = (0, 1, 0, 0)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, min_width=CELLS)
    table.add_column(justify="right", no_wrap=True)
    below = min(0.0, *map(fmean, columns))
    for layer, values in zip(layers, columns, strict=True):
        share = fmean(values)
        spread = f" ±{100 * stdev(values):.1f}" if runs > 1 else ""
        table.add_row(str(layer), _bar(share, below, largest), f"{100 * share:.1f}{spread}")
    return table


def _bar(share: float, below: float, largest: float) -> Text:
    """A bar to the right of zero, or in another shade to its left; the axis is drawn where there is a left."""
    scale = CELLS / largest if largest > 0 else 0.0
    left = max(1, round(-below * scale)) if below < 0 else 0
    if share < 0:
        length = min(left, max(1, round(-share * scale)))
        return Text(" " * (left - length)) + Text("░" * length, style="red") + Text("│")
    eighths = round(share * scale * 8)
    bar = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
    return Text(" " * left + "│" if below < 0 else "") + Text(bar, style="cyan")
