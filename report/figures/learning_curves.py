"""Learning curves of all runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from mer.report.figures.style import COLOURS, COLUMN, PAGE, new_figure, paper_style

ACROSS = 4


def learning_curves_figure(epochs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Validation UA of every run by epoch, a panel a head, a colour a test session; the dot is the epoch that was kept.

    Args:
        epochs: head to the lines of its `metrics.jsonl`.
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
            for (fold, _), run in _runs(lines).items():
                label = None if fold in shown else f"session {fold}"
                shown.add(fold)
                scores = [100 * line["validation_ua"] for line in run]
                axis.plot([line["epoch"] for line in run], scores, color=colour[fold], linewidth=0.6, alpha=0.8, label=label)
                best = max(range(len(run)), key=scores.__getitem__)
                axis.plot([run[best]["epoch"]], [scores[best]], "o", color=colour[fold], markersize=2.5)
            axis.set_title(name)
            if place % across == 0:
                axis.set_ylabel("validation UA (%)")
            if place >= len(epochs) - across:
                axis.set_xlabel("epoch (number)")
        figure.legend(loc="outside upper center", ncols=min(5, len(folds)), fontsize=6)
    return figure


def _runs(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for line in lines:
        if line.get("validation_ua") is not None:
            found.setdefault((str(line["fold"]), int(line["seed"])), []).append(line)
    return found
