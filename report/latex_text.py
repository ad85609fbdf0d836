r"""A score table in LaTeX: as wide as a column of a paper, or as its page, with its notes below it."""

import re
from collections.abc import Sequence

from mer.files.shown_text import shown
from mer.report.columns import Column, cells, chosen_columns, column_columns, first_measure, shown_columns
from mer.report.score_table import ScoreTable
from mer.report.table_text import notes_of

PACKAGES = r"% \usepackage{booktabs,tabularx}"
NAMES = r">{\raggedright\arraybackslash\hangindent=1em}X"
"""Column of the names: what the numbers leave, with later lines indented."""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
"""What LaTeX would take for a command."""


def latex_table(table: ScoreTable, columns: Sequence[str] = (), *, wide: bool = False) -> str:
    r"""A booktabs table as wide as a column (`table`), names wrapped; the best UA is bold, marks are superscripts.

    Args:
        table: the rows.
        columns: keys of `chosen_columns`; by default those that a column of 85 mm has room for, or all where it is `wide`.
        wide: over both columns of a page (`table*`).

    Raises:
        ReportError: no column is called so.
    """
    found = chosen_columns(table, columns) if columns else shown_columns(table) if wide else column_columns(table)
    environment = "table*" if wide else "table"
    return "\n".join(
        [
            PACKAGES,
            rf"\begin{{{environment}}}",
            r"  \centering\footnotesize",
            rf"  \setlength{{\tabcolsep}}{{{'5' if wide else '3'}pt}}",
            rf"  \caption{{{latex(table.title)}}}",
            rf"  \begin{{tabularx}}{{\linewidth}}{{@{{}}{NAMES}{'r' * (len(found) - 1)}@{{}}}}",
            r"    \toprule",
            "    " + " & ".join(_heading(column.title) for column in found) + r" \\",
            r"    \midrule",
            *_rows(table, found),
            r"    \bottomrule",
            r"  \end{tabularx}",
            r"  \par\smallskip",
            r"  \parbox{\linewidth}{\scriptsize\raggedright",
            *(f"    {latex(note)}" for note in notes_of(table, found)),
            r"  }",
            rf"\end{{{environment}}}",
            "",
        ]
    )


def _rows(table: ScoreTable, columns: Sequence[Column]) -> list[str]:
    rows = []
    bold = [column.key == first_measure(table) for column in columns]
    for row in table.rows:
        name, *others = (latex(cell) for cell in cells(table, row, columns))
        # Long names may break behind these signs.
        marked = [re.sub(r"(\\_|=)(?=\w)", r"\1\\allowbreak{}", name), *others]
        if row.best:
            marked = [rf"\textbf{{{cell}}}" if main else cell for cell, main in zip(marked, bold, strict=True)]
        rows.append("    " + " & ".join(marked) + r" \\")
    return rows


def _heading(title: str) -> str:
    """A word a line, so that a column is as wide as its numbers."""
    words = [latex(word) for word in title.split(" ")]
    return words[0] if len(words) == 1 else r"\shortstack[r]{" + r"\\".join(words) + "}"


def latex(text: str) -> str:
    """The text as LaTeX sets it; a mark behind a number is a superscript."""
    safe = "".join(SPECIAL.get(character, character) for character in shown(re.sub(r"\s+", " ", text)))
    starred = re.sub(r"(?<=[\d\]])(\*+)$", r"$^{\1}$", safe)
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", starred).replace("±", r"$\pm$")
