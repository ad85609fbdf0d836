"""A run while it trains, from the files that it writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mer.report.errors import ReportError
from mer.report.tables import counted, percent
from mer.results.metrics_log import read_metrics
from mer.results.names import CONFIG, RESULT
from mer.results.row_names import name_beside

NOTE = (
    "Validation UA in percent, mean of the class recalls (CCC where ratings are predicted). Of the test session nothing is shown."
)
BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 30
"""Epochs that a sparkline shows; the last ones."""
LATEST = 12
"""Runs that are listed; those whose epochs came last."""


def is_finished(directory: Path) -> bool:
    """Whether the result is written, which is the last thing that a run does."""
    return (directory / RESULT).exists()


def check_run(directory: Path) -> None:
    """Make sure that there is a run to look at.

    Raises:
        ReportError: there is none.
    """
    if not (directory / CONFIG).exists() and not is_finished(directory):
        problem = f"holds no run (no {CONFIG})" if directory.is_dir() else "no such run directory"
        raise ReportError(f"{directory}: {problem}; give the one that is being written, such as runs/NAME")


def watch_view(directory: Path) -> RenderableType:
    """The newest state: one line per (fold, seed), the latest last.

    Args:
        directory: of the run; one without epochs yet says so.
    """
    log = read_metrics(directory)
    runs: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for epoch in log.epochs:
        runs.setdefault((epoch["fold"], epoch["seed"]), []).append(epoch)
    ended = counted(len(log.kept) + len(log.failed), "run")
    state = "finished" if is_finished(directory) else f"not finished, {ended} ended" if runs or log.failed else "no epoch yet"
    name = name_beside(directory)
    place = directory.name if name == directory.name else f"{name} ({directory.name})"
    title = f"{place}: {state}, {counted(len(log.epochs), 'epoch')}"
    parts: list[RenderableType] = [Text(title, style="bold")]
    if runs:
        parts.append(_runs(runs))
    if len(runs) > LATEST:
        parts.append(Text(f"and {counted(len(runs) - LATEST, 'earlier run')}", style="dim"))
    parts += [Text(f"failed: fold {fold} seed {seed}: {why}", style="red") for (fold, seed), why in log.failed.items()]
    return Group(*parts, Text(NOTE, style="dim"))


def _runs(runs: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]) -> Table:
    rated = any("validation_ccc" in epochs[-1] for epochs in runs.values())
    key, measure = ("validation_ccc", "CCC") if rated else ("validation_ua", "UA")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("fold", "seed", "epoch", "train\nloss", "valid.\nloss", measure, f"best\n{measure}"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(f"validation {measure}", no_wrap=True)
    for (fold, seed), epochs in list(runs.items())[-LATEST:]:
        last = epochs[-1]
        scores = [epoch[key] for epoch in epochs if epoch.get(key) is not None]
        losses = (_loss(last.get("train_loss")), _loss(last.get("validation_loss")))
        best = percent(max(scores, default=None))
        now = percent(scores[-1] if scores else None)
        table.add_row(fold, str(seed), str(last["epoch"]), *losses, now, best, sparkline(scores))
    return table


def sparkline(values: Sequence[float]) -> str:
    """The last values as bars between their smallest and largest."""
    shown = values[-WIDTH:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    return "".join(BARS[1 + round((value - low) / (high - low) * 7) if high > low else 4] for value in shown)


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
