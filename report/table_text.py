"""A score table in Markdown and CSV, and what its numbers mean in every format."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from mer.files.shown_text import shown, spreadsheet_cell
from mer.report.columns import Column, cells, chosen_columns, csv_columns, first_measure, score_definitions, shown_columns
from mer.report.score_table import ScoreTable

SYNTHETIC = "Synthetic speech: not comparable with any corpus."
DIFFERENCE = (
    "difference = UA minus that of {reference}, in points, with its 95 % bootstrap interval over test utterances; * differs "
    "after Holm's correction in a paired test over folds and seeds, ** over folds alone too."
)
POINTS = (
    "diff = UA minus that of {reference}, in points; * differs after Holm's correction in a paired test over folds and seeds, ** "
    "over folds alone too."
)
BEST = "The reference is the best row of this table, which favours it: to claim a difference, name one beforehand."
PAPER = (
    "paper = {papers}; vs paper = ours minus the paper's, in points, ± = t s sqrt(1/S + 1/S of the paper), s = ± seeds: what "
    "means of so many seeds differ by (95 %) when they differ in their seeds only; no ± for a single seed of ours. A paper's "
    "figure stands only beside the paper's set-up."
)


def markdown_table(table: ScoreTable, columns: Sequence[str] = ()) -> str:
    """A pipe table with its definitions; the best UA is bold.

    Args:
        table: the rows.
        columns: keys of `chosen_columns`; by default all that tables for people have.

    Raises:
        ReportError: no column is called so.
    """
    found = chosen_columns(table, columns) if columns else shown_columns(table)
    names, lines_of_rows = [column.title for column in found], [cells(table, row, found) for row in table.rows]
    bold = [column.key == first_measure(table) for column in found]
    lines = ["| " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    for row, line in zip(table.rows, lines_of_rows, strict=True):
        marked = [_markdown(cell) for cell in line]
        if row.best:
            marked = [f"**{cell}**" if main else cell for cell, main in zip(marked, bold, strict=True)]
        lines.append("| " + " | ".join(marked) + " |")
    notes = [_markdown(note) for note in notes_of(table, found)]
    return "\n".join([f"**{_markdown(table.title)}**", "", *lines, "", *("\n\n".join(notes)).split("\n")]) + "\n"


def csv_table(table: ScoreTable) -> str:
    """Every number at full precision, in percent; empty where there is none."""
    text, columns = io.StringIO(), csv_columns(table)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.key for column in columns])
    for row in table.rows:
        numbers = (_number(column.get(table, row), share=column.share) for column in columns)
        writer.writerow([spreadsheet_cell(each) for each in numbers])
    return text.getvalue()


def notes_of(table: ScoreTable, columns: Sequence[Column]) -> list[str]:
    """What stands below a table: what there is to say of single rows, and what the numbers of its columns mean."""
    notes = [SYNTHETIC] if table.synthetic else []
    notes += [f"{row.name}: {row.note}." for row in table.rows if row.note]
    return [*notes, *(f"{remark}." for remark in table.remarks), *definitions(table, columns)]


def definitions(table: ScoreTable, columns: Sequence[Column] | None = None) -> list[str]:
    """What the numbers of a table mean.

    Args:
        table: the rows.
        columns: those that are shown; all that tables for people have by default.
    """
    keys = {column.key for column in (shown_columns(table) if columns is None else columns)}
    found = [score_definitions(table, None if columns is None else keys)]
    if table.paper_measures and any("paper" in key for key in keys):
        found.append(PAPER.format(papers="; ".join(table.papers) or "the figures of the grid"))
    if table.reference and not keys.isdisjoint({"difference", "points"}):
        told = DIFFERENCE if "difference" in keys else POINTS
        found += [told.format(reference=table.reference), *([] if table.chosen else [BEST])]
    return found


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_`<\[\]])", r"\\\1", shown(re.sub(r"\s+", " ", text)))


def _number(value: Any, *, share: bool) -> str:
    if value is None:
        return ""
    return f"{100 * value:.10g}" if share else f"{value:g}" if isinstance(value, float) else str(value)
