"""A score table in Markdown, LaTeX and CSV."""

import csv
import io
import re

from mer.report.comparison_table import points
from mer.report.score_table import ScoreRow, ScoreTable
from mer.report.tables import percent

DASH = "-"
SYNTHETIC = "Synthetic speech: not comparable with any corpus."
DEFINITIONS = (
    "In percent. UA = mean of the class recalls (unweighted accuracy), WA = share of utterances that are right (weighted "
    "accuracy). UA and WA = mean over test sessions and seeds; ± = standard deviation of UA over test sessions, and over seeds; "
    "merged = all test sessions scored together, mean over seeds; n = test utterances."
)
DIFFERENCE = (
    "difference = UA minus that of {reference}, in points, with its 95 % bootstrap interval over test utterances; * differs "
    "after Holm's correction in a paired test over folds and seeds, ** over folds alone too."
)
CSV_COLUMNS = (
    "name,status,utterances,runs,ua,ua_std_folds,ua_std_seeds,ua_merged,wa,wa_merged,paper_ua,paper_wa,reference,difference,low,"
    "high,p_holm,mark,synthetic"
).split(",")
LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def markdown_table(table: ScoreTable) -> str:
    """A pipe table with its definitions; the best UA is bold."""
    names, cells = _columns(table), [_cells(table, row) for row in table.rows]
    lines = ["| " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    for row, line in zip(table.rows, cells, strict=True):
        shown = [_markdown(cell) for cell in line]
        if row.best:
            shown[2] = f"**{shown[2]}**"
        lines.append("| " + " | ".join(shown) + " |")
    notes = [_markdown(note) for note in _notes(table)]
    return "\n".join([f"**{_markdown(table.title)}**", "", *lines, "", *("\n\n".join(notes)).split("\n")]) + "\n"


def latex_table(table: ScoreTable) -> str:
    r"""A booktabs table: `\usepackage{booktabs}` is all it needs; the best UA is bold, marks are superscripts."""
    names, rows = _columns(table), []
    for row in table.rows:
        shown = [_latex(cell) for cell in _cells(table, row)]
        if row.best:
            shown[2] = rf"\textbf{{{shown[2]}}}"
        rows.append("    " + " & ".join(shown) + r" \\")
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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in table.rows:
        shares = (row.ua, row.ua_folds, row.ua_seeds, row.ua_merged, row.wa, row.wa_merged)
        ends = (row.difference, row.low, row.high)
        writer.writerow(
            [
                row.name,
                row.status,
                _number(row.utterances),
                row.runs,
                *(_hundredfold(share) for share in shares),
                _number(row.published_ua),
                _number(row.published_wa),
                (table.reference or "") if row.difference is not None else "",
                *(_hundredfold(share) for share in ends),
                _number(row.p_holm),
                row.mark,
                int(table.synthetic),
            ]
        )
    return text.getvalue()


def _columns(table: ScoreTable) -> list[str]:
    names = ["head", "n", "UA", "± folds", "± seeds", "UA merged", "WA", "WA merged"]
    names += ["paper UA", "paper WA"] if any(row.published_wa is not None for row in table.rows) else []
    names += ["paper UA"] if table.published and "paper UA" not in names else []
    return [*names, *(["difference"] if table.reference else [])]


def _cells(table: ScoreTable, row: ScoreRow) -> list[str]:
    names = _columns(table)
    cells = [row.name, DASH if row.utterances is None else f"{row.utterances:,}"]
    if row.status == "done":
        cells += [percent(share) for share in (row.ua, row.ua_folds, row.ua_seeds, row.ua_merged, row.wa, row.wa_merged)]
    else:
        cells += [row.status, *[DASH] * 5]
    papers = {"paper UA": row.published_ua, "paper WA": row.published_wa}
    cells += [DASH if papers[name] is None else f"{papers[name]:.2f}" for name in names if name in papers]
    if table.reference:
        cells.append("reference" if row.name == table.reference else difference_cell(row))
    return cells


def difference_cell(row: ScoreRow) -> str:
    """`-1.23 [-2.00, -0.50]**`, or a dash."""
    if row.difference is None:
        return DASH
    return f"{points(row.difference)} [{points(row.low)}, {points(row.high)}]{row.mark}"


def _notes(table: ScoreTable) -> list[str]:
    notes = [SYNTHETIC] if table.synthetic else []
    notes += [f"{row.name}: {row.note}." for row in table.rows if row.note]
    return [*notes, DEFINITIONS, *([DIFFERENCE.format(reference=table.reference)] if table.reference else [])]


def _markdown(text: str) -> str:
    shown = re.sub(r"([\\|*_`<\[\]])", r"\\\1", text)
    return re.sub(r"\s+", " ", shown)


def _latex(text: str) -> str:
    safe = "".join(LATEX_SPECIAL.get(character, character) for character in re.sub(r"\s+", " ", text))
    starred = re.sub(r"\](\*+)$", r"]$^{\1}$", safe)
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", starred).replace("±", r"$\pm$")


def _hundredfold(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.10g}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
