"""What a command says of the results that it made."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mer.protocol.metrics import class_f1, learned_by, shown_metrics
from mer.report.columns import score_definitions, verdict_columns
from mer.report.missing_measures import measures_in
from mer.report.score_table import ScoreRow, ScoreTable
from mer.report.setup_note import left_out_for_text
from mer.report.table_text import SYNTHETIC
from mer.report.tables import percent
from mer.report.terminal_table import scores_table
from mer.results.row_names import NamedRow, head_name


def results_report(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """One row a result (`result.json`); for a single result its parts too."""
    parts: list[RenderableType] = []
    if any(row["synthetic"] for row in rows):
        parts.append(Text(SYNTHETIC, style="yellow"))
    table = score_rows(rows)
    parts.append(results_table(table))
    if len(rows) == 1 and (table.learned != {"ratings"} or rows[0]["summary"]["styles"]):
        parts.append(parts_table(rows[0]))
    for row in rows:
        parts += [Text(f"{_name(row)}: {_notes(row)}", style="dim")]
        parts += [Text(f"  {told}", style="dim") for told in _calibration(row)]
        parts += [Text(f"  note: {note}") for note in row.get("notes", ())]
        parts += [
            Text(f"  failed run: fold {f['fold']} seed {f['seed']}: {f['reason']}", style="red") for f in row["failed_runs"]
        ]
    return Group(*parts, Text(score_definitions(table), style="dim"))


def results_table(table: ScoreTable) -> Table:
    """Every measure of each result in percent."""
    return scores_table(table, verdict_columns)


def score_rows(rows: Sequence[Mapping[str, Any]]) -> ScoreTable:
    """What results say, before it has a format."""
    found = [
        ScoreRow(
            name=_name(row),
            status="done",
            utterances=row["summary"]["all"]["utterances"],
            measures=measures_in(row["summary"]["all"], Path(row.get("directory", ""))),
            learned=learned_by(row["config"]),
        )
        for row in rows
    ]
    return ScoreTable(rows=tuple(found))


def parts_table(row: Mapping[str, Any]) -> Table:
    """The measures of improvised and scripted speech on their own, and F1 and recall of each class."""
    summary, learned = row["summary"], learned_by(row["config"])
    metrics = {name: each for name, each in shown_metrics([learned]).items() if learned != "ratings" or name in summary["all"]}
    table = Table(box=SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    for name in ("part", "n", *(metric.title for metric in metrics.values()), *(["recall"] if summary["recall"] else [])):
        table.add_column(name, justify="left" if name == "part" else "right")
    for style, scores in summary["styles"].items():
        means = [percent(scores[name]["mean_of_folds"] if name in scores else None) for name in metrics]
        table.add_row(escape(style), f"{scores['utterances']:,}", *means)
    if not summary["recall"]:
        return table
    seeds = len(summary["seeds"])
    matrix = np.array(summary["confusion"], dtype=np.int64)
    for name, line, score in zip(summary["classes"], summary["confusion"], class_f1(matrix).tolist(), strict=True):
        own = [percent(score) if measure == "macro_f1" else "" for measure in metrics]
        table.add_row(escape(name), f"{sum(line) // seeds:,}", *own, percent(summary["recall"][name]))
    return table


def tested_utterances(row: Mapping[str, Any]) -> str:
    """`160 utterances tested (of 400)`: how many were tested, and beside it how many take part where those are more.

    Args:
        row: `result.json`, or a row of `grid.json`.
    """
    used = row["utterances"]["used"]
    tested = row["summary"]["all"].get("utterances", used)
    return f"{tested:,} utterances" if tested == used else f"{tested:,} utterances tested (of {used:,})"


def _name(row: Mapping[str, Any]) -> str:
    return head_name(NamedRow(directory=Path(row.get("directory", "")), result=row))


def _notes(row: Mapping[str, Any]) -> str:
    used = row["utterances"]
    out = [f"{used['other_labels']:,} of other classes" if used["other_labels"] else ""]
    out += [f"{used['failed_extraction']:,} that failed in extraction" if used["failed_extraction"] else ""]
    out += [f"{len(used['left_out']):,} that cannot be read" if used.get("left_out") else ""]
    out += [f"{used['unrated']:,} that are not rated" if used.get("unrated") else ""]
    left = " and ".join(filter(None, out))
    summary = row["summary"]
    runs = f"{summary['runs']} runs ({len(summary['folds'])} folds x {len(summary['seeds'])} seeds)"
    lost = left_out_for_text(row)
    said = f"{runs}, {tested_utterances(row)}" + (f", without {left}" if left else "") + _cut(row)
    return said + (f"; {lost}" if lost else "") + f"; {row['directory']}"


def _calibration(row: Mapping[str, Any]) -> list[str]:
    """How well the probabilities say how often they are right, before and after the temperature; nothing of earlier results."""
    scores, fitted = row["summary"]["all"], [run["temperature"] for run in row["runs"] if run.get("temperature")]
    if "ece" not in scores:
        return []
    told = f"calibration error (ECE, 15 bins) {percent(scores['ece']['mean_of_folds'])} %"
    if fitted and "ece_scaled" in scores:
        after = percent(scores["ece_scaled"]["mean_of_folds"])
        told += f", {after} % at the temperature of each validation part ({min(fitted):.2f} to {max(fitted):.2f})"
    return [told]


def _cut(row: Mapping[str, Any]) -> str:
    cut = row["utterances"].get("cut", 0)
    return f"; {cut:,} cut at {row['config']['max_seconds']:g} s" if cut else ""
