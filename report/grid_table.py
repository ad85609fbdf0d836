"""A grid as one table: every row beside the paper's figure, and every row against the best."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mer.report.comparison_table import DASH, comparison_table, paper_columns
from mer.report.setup_note import grouped_notes, left_out_for_text, seeds_of_paper, setup_text
from mer.report.tables import percent, tested_utterances

TWO_LINES = (
    "In percent. UA = mean of the class recalls (unweighted accuracy); WA = share of utterances that are right. mean = over test "
    "sessions and seeds; ± = standard deviation over test sessions, and over seeds. merged = all test sessions scored together, "
    "mean over seeds."
)
DEFINITIONS = (
    "In percent. UA = mean of the class recalls (unweighted accuracy), mean over test sessions and seeds; ± = standard "
    "deviation of UA over test sessions, and over seeds. merged = all test sessions scored together, mean over seeds. WA = "
    "share of utterances that are right, mean over test sessions and seeds."
)
PAPER = (
    "paper = {measures} of {paper} ({seeds}). diff = ours minus the paper's, in points; inside / outside = of ±, t s sqrt(1/S + "
    "1/S of the paper) with s = ± seeds: what means of so many seeds differ by (95 %) when they differ in their seeds only; "
    "unknown with a single seed of ours, or where the paper's are not known. A figure stands only beside the paper's set-up."
)
BEST = "The reference is the best row of this very table, which favours it: to claim a difference, name the reference beforehand."
SYNTHETIC = "synthetic speech: not comparable with the paper"


def grid_report(data: Mapping[str, Any]) -> RenderableType:
    """A whole grid: table, failures, comparisons, definitions.

    Args:
        data: what `grid.json` holds, and its `directory`.
    """
    grid, rows = data["grid"], data["rows"]
    published = _published(rows)
    setups = {row["name"]: _setup(row, grid["paper"]) for row in rows}
    asked = published or any(setups.values())
    parts: list[RenderableType] = [Text(grid["title"] + (f" ({grid['paper']})" if grid["paper"] else ""), style="bold")]
    if data["synthetic"]:
        parts.append(Text(SYNTHETIC if asked else "synthetic speech: not comparable with any corpus", style="yellow"))
    parts += [Text(""), grid_table(rows), Text(""), *_failures(rows)]
    finished = [row for row in rows if row["status"] == "done"]
    if finished:
        parts += [Text(line, style="dim") for line in _sizes(finished)]
    lost = {row["name"]: left_out_for_text(row) for row in rows}
    parts += [Text(line, style="yellow") for line in (*grouped_notes(setups), *grouped_notes(lost))]
    both = any(row.get("published_wa") is not None for row in rows)
    parts.append(Text(TWO_LINES if both else DEFINITIONS, style="dim"))
    if published:
        measures = "UA and WA" if both else "UA"
        seeds = seeds_of_paper(grid.get("paper_seeds"))
        parts.append(Text(PAPER.format(measures=measures, paper=grid["paper"] or "the paper", seeds=seeds), style="dim"))
    if data["comparisons"]:
        parts += [Text(""), comparison_table(data["comparisons"]), Text(BEST, style="dim")]
    parts += [Text(f"not compared: {name}: {reason}", style="yellow") for name, reason in data["not_compared"].items()]
    return Group(*parts, Text(f"table and run directories: {data['directory']}", style="dim"))


def grid_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Each row's UA both ways with both spreads, WA, and where the table has them the paper's figure beside it.

    Where a paper reports WA, too, a row has two lines, one for each measure.
    """
    if any(row.get("published_wa") is not None for row in rows):
        return _two_line_table(rows)
    published = _published(rows)
    table = Table(box=SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    table.add_column("row", overflow="fold")
    columns = ["UA", "±\nfolds", "±\nseeds", "UA\nmerged", "WA", *(["paper", "diff", "noise"] if published else [])]
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    best = max((_ua(row) for row in rows if row["status"] == "done"), default=None)
    for row in rows:
        cells = _cells(row, published)
        shown = best is not None and row["status"] == "done" and _ua(row) == best
        table.add_row(escape(row["name"]), *cells, style="bold" if shown else None)
    return table


def _two_line_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    table.add_column("row", overflow="fold")
    for name in ("", "mean", "±\nfolds", "±\nseeds", "merged", "paper", "diff", "noise"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    best = max((_ua(row) for row in rows if row["status"] == "done"), default=None)
    for row in rows:
        lines = [_measure_cells(row, measure) for measure in ("ua", "wa")]
        shown = best is not None and row["status"] == "done" and _ua(row) == best
        cells = ("\n".join(pair) for pair in zip(*lines, strict=True))
        table.add_row(escape(row["name"]), *cells, style="bold" if shown else None)
    return table


def _measure_cells(row: Mapping[str, Any], measure: str) -> list[str]:
    published = row[f"published_{measure}"]
    if row["status"] != "done":
        figure = DASH if published is None else f"{published:.2f}"
        return [measure.upper(), row["status"] if measure == "ua" else DASH, *[DASH] * 3, figure, DASH, DASH]
    score = row["summary"]["all"][measure]
    shares = (score["mean_of_folds"], score["std_folds"], score["std_seeds"], score["merged"])
    paper = row["paper" if measure == "ua" else "paper_wa"]
    return [measure.upper(), *(percent(share) for share in shares), *_beside(row, paper)]


def preset_table(presets: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The grids that come with mer."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    table.add_column("grid", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("paper", overflow="fold")
    for preset in presets:
        table.add_row(preset["name"], str(len(preset["rows"])), escape(preset["title"]), escape(preset["paper"] or DASH))
    return Group(table, Text("A TOML file of your own works too: mer grid FILE (docs/grids.md).", style="dim"))


def _cells(row: Mapping[str, Any], published: bool) -> list[str]:
    if row["status"] != "done":
        paper = DASH if row["published_ua"] is None else f"{row['published_ua']:.2f}"
        return [row["status"], *[DASH] * 4, *([paper, DASH, DASH] if published else [])]
    ua, wa = row["summary"]["all"]["ua"], row["summary"]["all"]["wa"]
    shares = (ua["mean_of_folds"], ua["std_folds"], ua["std_seeds"], ua["merged"], wa["mean_of_folds"])
    return [*(percent(share) for share in shares), *(_beside(row, row["paper"]) if published else ())]


def _published(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["published_ua"] is not None for row in rows)


def _beside(row: Mapping[str, Any], paper: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """The paper's cells; without its set-up no figure, and below the table what differs."""
    differs = paper is None and bool(setup_text(row.get("setup") or {}))
    return (DASH, "differs", DASH) if differs else paper_columns(paper)


def _setup(row: Mapping[str, Any], paper: str | None) -> str:
    said = setup_text(row.get("setup") or {})
    return f"no figure of {paper or 'the paper'} beside it, {said}" if said else ""


def _ua(row: Mapping[str, Any]) -> float:
    return float(row["summary"]["all"]["ua"]["mean_of_folds"])


def _failures(rows: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    found = [Text(f"failed: {row['name']}: {row['failure']}", style="red") for row in rows if row["status"] == "failed"]
    for row in rows:
        for run in row["failed_runs"] if row["status"] == "done" else ():
            found.append(Text(f"failed run: {row['name']}, fold {run['fold']} seed {run['seed']}: {run['reason']}", style="red"))
    return [*found]


def _sizes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Runs and utterances, once for all rows that have the same."""
    found: dict[str, list[str]] = {}
    for row in rows:
        summary = row["summary"]
        folds, seeds = len(summary["folds"]), len(summary["seeds"])
        runs = f"{summary['runs']} runs ({folds} fold{'s' * (folds > 1)} x {seeds} seed{'s' * (seeds > 1)})"
        found.setdefault(f"{runs}, {tested_utterances(row)}", []).append(row["name"])
    if len(found) == 1:
        return [f"each row: {size}" for size in found]
    return [f"{', '.join(names)}: {size}" for size, names in found.items()]
