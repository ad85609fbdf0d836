"""A score table in Markdown, LaTeX and CSV."""

import csv
import io
import re

from mer.report.comparison_table import points
from mer.report.score_table import PaperScore, ScoreRow, ScoreTable
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
BEST = "The reference is the best row of this table, which favours it: to claim a difference, name one beforehand."
PAPER = (
    "paper = {papers}; vs paper = ours minus the paper's, in points, ± = t s sqrt(1/S + 1/S of the paper), s = ± seeds: what "
    "means of so many seeds differ by (95 %) when they differ in their seeds only; no ± for a single seed of ours. A paper's "
    "figure stands only beside the paper's set-up."
)
CSV_COLUMNS = (
    "name,status,utterances,runs,ua,ua_std_folds,ua_std_seeds,ua_merged,wa,wa_std_folds,wa_std_seeds,wa_merged,paper_ua,"
    "paper_ua_difference,paper_ua_noise,paper_wa,paper_wa_difference,paper_wa_noise,reference,difference,low,high,p_holm,mark,"
    "synthetic,paper,paper_seeds,paper_setup,left_out_for_text"
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
        shares = [row.ua, row.ua_folds, row.ua_seeds, row.ua_merged, row.wa, row.wa_folds, row.wa_seeds, row.wa_merged]
        for paper in (row.paper_ua, row.paper_wa):
            shares += [None] * 3 if paper is None else [paper.published, paper.difference, paper.noise]
        ends = (row.difference, row.low, row.high)
        writer.writerow(
            [
                row.name,
                row.status,
                _number(row.utterances),
                row.runs,
                *(_hundredfold(share) for share in shares),
                (table.reference or "") if row.difference is not None else "",
                *(_hundredfold(share) for share in ends),
                _number(row.p_holm),
                row.mark,
                int(table.synthetic),
                row.paper,
                _number(next((each.seeds for each in (row.paper_ua, row.paper_wa) if each is not None), None)),
                row.setup,
                row.left_out,
            ]
        )
    return text.getvalue()


def _columns(table: ScoreTable) -> list[str]:
    names = ["head", "n", "UA", "± folds", "± seeds", "UA merged", "WA", "WA merged"]
    names += ["paper UA", "vs paper"] if table.published else []
    names += ["paper WA", "vs paper"] if table.published_wa else []
    return [*names, *(["difference"] if table.reference else [])]


def _cells(table: ScoreTable, row: ScoreRow) -> list[str]:
    cells = [row.name, DASH if row.utterances is None else f"{row.utterances:,}"]
    if row.status == "done":
        cells += [percent(share) for share in (row.ua, row.ua_folds, row.ua_seeds, row.ua_merged, row.wa, row.wa_merged)]
    else:
        cells += [row.status, *[DASH] * 5]
    cells += paper_cells(row.paper_ua, row.setup) if table.published else []
    cells += paper_cells(row.paper_wa, row.setup) if table.published_wa else []
    if table.reference:
        cells.append("reference" if row.name == table.reference else difference_cell(row))
    return cells


def paper_cells(paper: PaperScore | None, setup: str = "") -> list[str]:
    """`75.80` and `-0.42 ±0.61`; dashes, or instead of a difference how the set-up differs from the paper's."""
    if paper is None:
        return [DASH, setup or DASH]
    noise = "" if paper.noise is None else f" ±{percent(paper.noise)}"
    return [percent(paper.published), f"{points(paper.difference)}{noise}"]


def difference_cell(row: ScoreRow) -> str:
    """`-1.23 [-2.00, -0.50]**`, or a dash."""
    if row.difference is None:
        return DASH
    return f"{points(row.difference)} [{points(row.low)}, {points(row.high)}]{row.mark}"


def _notes(table: ScoreTable) -> list[str]:
    notes = [SYNTHETIC] if table.synthetic else []
    notes += [f"{row.name}: {row.note}." for row in table.rows if row.note]
    return [*notes, *(f"{remark}." for remark in table.remarks), *definitions(table)]


def definitions(table: ScoreTable) -> list[str]:
    """What the numbers of a table mean."""
    found = [DEFINITIONS]
    if table.published:
        found.append(PAPER.format(papers="; ".join(table.papers) or "the figures of the grid"))
    if table.reference:
        found += [DIFFERENCE.format(reference=table.reference), *([] if table.chosen else [BEST])]
    return found


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
