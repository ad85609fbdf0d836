import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mer.report import find_runs, group_runs, latex_table, score_table
from mer.report.columns import score_definitions
from mer.report.score_table import ScoreTable
from mer.report.table_text import BEST, POINTS

LONG = "late fusion of frames, syllables and words with the transcript, text_disjoint=true class_weights=balanced, 100 % & more"
DOCUMENT = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs,tabularx}
\begin{document}
Text.
%s
%s
\end{document}
"""


def table_of(folder: Path, comparison: Mapping[str, Any], **changes: Any) -> ScoreTable:
    runs = [replace(run, **changes) if run.name == "linear T" else run for run in find_runs((folder,))]
    (group,) = group_runs(runs)
    return score_table(group, [comparison])


def against(row: str = "linear T") -> dict[str, Any]:
    return {
        "row": row,
        "reference": "late F+T",
        "difference": -0.229167,
        "low": -0.5,
        "high": -0.02,
        "p_holm": 0.02,
        "p_folds_holm": 0.06,
    }


def test_a_table_of_a_column_has_few_columns_and_its_notes_below(two_runs: Path) -> None:
    made = latex_table(table_of(two_runs, against()))
    rows = "\n".join(
        [
            r"    \toprule",
            r"    head & UA & \shortstack[r]{$\pm$\\folds} & \shortstack[r]{$\pm$\\seeds} & WA & diff \\",
            r"    \midrule",
            r"    late F+T & \textbf{93.75} & 8.84 & 8.84 & 93.75 & ref. \\",
            r"    linear T & 70.83 & 5.89 & 11.79 & 75.00 & $-$22.92$^{*}$ \\",
            r"    \bottomrule",
        ]
    )
    assert made.startswith("% \\usepackage{booktabs,tabularx}\n\\begin{table}\n")
    assert "  \\caption{tiny, 2 classes}\n" in made
    assert rows in made
    keys = {"ua", "ua_std_folds", "ua_std_seeds", "wa", "points"}
    notes = [score_definitions(table_of(two_runs, against()), keys), POINTS.format(reference="late F+T"), BEST]
    below = made[made.index(r"\parbox") :]
    assert [note.replace("±", r"$\pm$") in below for note in notes] == [True] * 3


def test_a_table_of_a_page_has_all_columns(two_runs: Path) -> None:
    made = latex_table(table_of(two_runs, against()), wide=True)
    assert r"\begin{table*}" in made
    assert made.rstrip().endswith(r"\end{table*}")
    assert r"linear T & 8 & 70.83 & 5.89 & 11.79 & 73.33 & 75.00 & 75.00 & 65.71 & $-$22.92 [$-$50.00, $-$2.00]$^{*}$ \\" in made


def test_a_long_name_may_break_behind_its_signs(two_runs: Path) -> None:
    made = latex_table(table_of(two_runs, against(LONG), name=LONG))
    assert (
        r"text\_\allowbreak{}disjoint=\allowbreak{}true class\_\allowbreak{}weights=\allowbreak{}balanced, 100 \% \& more & 70.83"
        in made
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX is installed (texlive-latex-recommended)")
def test_the_tables_compile_and_fit_a_column_and_a_page(two_runs: Path, tmp_path: Path) -> None:
    table = table_of(two_runs, against(LONG), name=LONG, published={"ua": 68.12})
    plain = table_of(two_runs, against(LONG), name=LONG)
    for number, made in enumerate((latex_table(table), latex_table(plain))):
        file = tmp_path / f"paper{number}.tex"
        file.write_text(DOCUMENT % (made, latex_table(plain, wide=True)), encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", file.name]
        run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stdout[-2000:]
        # What does not fit is told as an overfull box.
        assert "Overfull" not in run.stdout
        assert file.with_suffix(".pdf").stat().st_size > 0
