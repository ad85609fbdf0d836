"""Learning curves of all runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mer.report.figures.style import COLOURS, COLUMN, PAGE, new_figure, paper_style, wrapped

ACROSS = 4


def learning_curves_figure(
    epochs: Mapping[str, Sequence[Mapping[str, Any]]], kept: Mapping[str, Mapping[tuple[str, int], int]], measure: str = "UA"
) -> Figure:
    """Validation UA of every run by epoch, a panel a head, a colour a test session; the dot is the epoch that was kept.

    Args:
        epochs: head to its epochs.
        kept: head to the epoch whose weights were kept, by (fold, seed); a run that still trains has none.
        measure: `UA` or `CCC`.
    """
    across = min(ACROSS, len(epochs))
    down = -(-len(epochs) // across)
    with paper_style():
        figure = new_figure(COLUMN if across == 1 else PAGE, 1.5 * down + 0.4)
        axes = figure.subplots(down, across, squeeze=False, sharey=True)
        folds = sorted({str(line["fold"]) for lines in epochs.values() for line in lines})
        colour = {fold: COLOURS[place % len(COLOURS)] for place, fold in enumerate(folds)}
        for place, axis in enumerate(axes.flat):
            axis.set_visible(place < len(epochs))
        shown = set()
        for place, (name, lines) in enumerate(epochs.items()):
            axis = axes.flat[place]
            for (fold, seed), run in _runs(lines, f"validation_{measure.lower()}").items():
                label = None if fold in shown else f"session {fold}"
                shown.add(fold)
                scores = {line["epoch"]: 100 * line[f"validation_{measure.lower()}"] for line in run}
                axis.plot(list(scores), list(scores.values()), color=colour[fold], linewidth=0.6, alpha=0.8, label=label)
                # By validation loss, so it is not always the highest point.
                best = kept.get(name, {}).get((fold, seed))
                if best in scores:
                    axis.plot([best], [scores[best]], "o", color=colour[fold], markersize=2.5)
            axis.set_title(wrapped(name))
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if place % across == 0:
                axis.set_ylabel(f"validation {measure} (%)")
            if place >= len(epochs) - across:
                axis.set_xlabel("epoch (number)")
        figure.legend(loc="outside upper center", ncols=min(5, len(folds)), fontsize=6)
    return figure


def _runs(lines: Sequence[Mapping[str, Any]], key: str) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for line in lines:
        if line.get(key) is not None:
            found.setdefault((str(line["fold"]), int(line["seed"])), []).append(line)
    return found
