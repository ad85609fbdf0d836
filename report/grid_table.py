"""A grid as one table: every row beside the paper's figure, and every row against the best."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mer.protocol.metrics import METRICS, learned_by
from mer.report.columns import score_definitions, verdict_columns
from mer.report.comparison_table import comparison_table
from mer.report.missing_measures import measures_in
from mer.report.results_report import tested_utterances
from mer.report.score_table import ScoreRow, ScoreTable, paper_score, with_best
from mer.report.setup_note import left_out_for_text, seeds_of_paper, setup_text
from mer.report.terminal_table import scores_table

BESIDE = {"ua": "paper", "wa": "paper_wa"}
"""Key of a row in `grid.json` that compares one of its measures with the paper's figure."""

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
    table = score_table_of_grid(data)
    asked = bool(table.paper_measures) or any(row.setup for row in table.rows)
    parts: list[RenderableType] = [Text(grid["title"] + (f" ({grid['paper']})" if grid["paper"] else ""), style="bold")]
    if data["synthetic"]:
        parts.append(Text(SYNTHETIC if asked else "synthetic speech: not comparable with any corpus", style="yellow"))
    parts += [Text(""), grid_table(table), Text(""), *_failures(rows)]
    finished = [row for row in rows if row["status"] == "done"]
    if finished:
        parts += [Text(line, style="dim") for line in _sizes(finished)]
    parts += [Text(f"note: {note}") for note in dict.fromkeys(note for row in finished for note in row.get("notes", ()))]
    parts += [Text(remark, style="yellow") for remark in table.remarks]
    parts.append(Text(score_definitions(table), style="dim"))
    if table.paper_measures:
        measures = " and ".join(METRICS[name].title for name in table.paper_measures)
        seeds = seeds_of_paper(grid.get("paper_seeds"))
        parts.append(Text(PAPER.format(measures=measures, paper=grid["paper"] or "the paper", seeds=seeds), style="dim"))
    if data["comparisons"]:
        parts += [Text(""), comparison_table(data["comparisons"]), Text(BEST, style="dim")]
    parts += [Text(f"not compared: {name}: {reason}", style="yellow") for name, reason in data["not_compared"].items()]
    return Group(*parts, Text(f"table and run directories: {data['directory']}", style="dim"))


def score_table_of_grid(data: Mapping[str, Any]) -> ScoreTable:
    """The rows of a grid, whatever became of them; arguments as for `grid_report`."""
    runs, paper = Path(data["directory"]).parent, data["grid"]["paper"] or ""
    return ScoreTable(synthetic=data["synthetic"], rows=with_best([_row(row, runs, paper) for row in data["rows"]]))


def grid_table(table: ScoreTable) -> Table:
    """Each row's measures, and where the table has them the paper's figures beside them."""
    return scores_table(table, verdict_columns, name="row", count=False)


def _row(row: Mapping[str, Any], runs: Path, paper: str) -> ScoreRow:
    done = row["status"] == "done"
    figures = {measure: (row.get(f"published_{measure}"), row.get(key)) for measure, key in BESIDE.items()}
    return ScoreRow(
        name=row["name"],
        status=row["status"],
        measures=measures_in(row["summary"]["all"], runs / str(row["directory"])) if done else {},
        papers={name: paper_score(figure, beside or {}) for name, (figure, beside) in figures.items() if figure is not None},
        paper=paper,
        setup=setup_text(row.get("setup") or {}),
        left_out=left_out_for_text(row),
        learned=learned_by(next(iter(row.get("configs") or ()), {})),
    )


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
