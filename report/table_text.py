"""A score table in Markdown, LaTeX and CSV."""

import csv
import io
import re
from typing import Any

from mer.files.shown_text import shown, spreadsheet_cell
from mer.report.columns import cells, csv_columns, score_definitions, shown_columns
from mer.report.score_table import ScoreTable

SYNTHETIC = "Synthetic speech: not comparable with any corpus."
DIFFERENCE = (
    "difference = UA minus that of {reference}, in points, with its 95 % bootstrap interval over test utterances; * differs "
    "after Holm's correction in a paired test over folds and seeds, ** over folds alone too."
)
BEST = "The reference is the best row of this table, which favours it: to claim a difference, name one beforehand."
PAPER = (
    "paper = {papers}; vs paper = ours minus the paper's, in points, ± = t s sqrt(1/S + 1/S of the paper), s = ± seeds: what "
    "means of so many seeds differ by (95 %) when they differ in their seeds only; no ± for a single seed of ours. A paper's "
    "figure stands only beside the paper's set-up."
)
LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def markdown_table(table: ScoreTable) -> str:
    """A pipe table with its definitions; the best UA is bold."""
    columns = shown_columns(table)
    names, lines_of_rows = [column.title for column in columns], [cells(table, row, columns) for row in table.rows]
    lines = ["| " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    for row, line in zip(table.rows, lines_of_rows, strict=True):
        marked = [_markdown(cell) for cell in line]
        if row.best:
            marked[2] = f"**{marked[2]}**"
        lines.append("| " + " | ".join(marked) + " |")
    notes = [_markdown(note) for note in _notes(table)]
    return "\n".join([f"**{_markdown(table.title)}**", "", *lines, "", *("\n\n".join(notes)).split("\n")]) + "\n"


def latex_table(table: ScoreTable) -> str:
    r"""A booktabs table: `\usepackage{booktabs}` is all it needs; the best UA is bold, marks are superscripts."""
    columns = shown_columns(table)
    names, rows = [column.title for column in columns], []
    for row in table.rows:
        marked = [_latex(cell) for cell in cells(table, row, columns)]
        if row.best:
            marked[2] = rf"\textbf{{{marked[2]}}}"
        rows.append("    " + " & ".join(marked) + r" \\")
    caption = " ".join([_latex(table.title) + ".", *(_latex(note) for note in _notes(table))])
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(names) - 1)}}}",
            r"    \toprule",
            "    " + " & ".join(_latex(name) for name in names) + r" \\",
            r"    \midrule",
            *rows,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def csv_table(table: ScoreTable) -> str:
    """Every number at full precision, in percent; empty where there is none."""
    text, columns = io.StringIO(), csv_columns(table)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.key for column in columns])
    for row in table.rows:
        numbers = (_number(column.get(table, row), share=column.share) for column in columns)
        writer.writerow([spreadsheet_cell(each) for each in numbers])
    return text.getvalue()


def _notes(table: ScoreTable) -> list[str]:
    notes = [SYNTHETIC] if table.synthetic else []
    notes += [f"{row.name}: {row.note}." for row in table.rows if row.note]
    return [*notes, *(f"{remark}." for remark in table.remarks), *definitions(table)]


def definitions(table: ScoreTable) -> list[str]:
    """What the numbers of a table mean."""
    found = [score_definitions(table)]
    if table.paper_measures:
        found.append(PAPER.format(papers="; ".join(table.papers) or "the figures of the grid"))
    if table.reference:
        found += [DIFFERENCE.format(reference=table.reference), *([] if table.chosen else [BEST])]
    return found


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_`<\[\]])", r"\\\1", shown(re.sub(r"\s+", " ", text)))


def _latex(text: str) -> str:
    safe = "".join(LATEX_SPECIAL.get(character, character) for character in shown(re.sub(r"\s+", " ", text)))
    starred = re.sub(r"\](\*+)$", r"]$^{\1}$", safe)
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", starred).replace("±", r"$\pm$")


def _number(value: Any, *, share: bool) -> str:
    if value is None:
        return ""
    return f"{100 * value:.10g}" if share else f"{value:g}" if isinstance(value, float) else str(value)
