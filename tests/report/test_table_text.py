import csv
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mer.report import (
    ReportedRun,
    ReportError,
    csv_table,
    find_runs,
    group_runs,
    latex_table,
    markdown_table,
    score_table,
    terminal_table,
)
from mer.report.columns import score_definitions
from mer.report.score_table import ScoreTable
from mer.report.table_text import BEST, DIFFERENCE

AGAINST: dict[str, Any] = {
    "row": "linear T",
    "reference": "late F+T",
    "pairs": 4,
    "difference": -0.2291666666666667,
    "low": -0.5,
    "high": -0.02,
    "p": 0.01,
    "p_holm": 0.02,
    "p_folds": 0.03,
    "p_folds_holm": 0.06,
    "p_bootstrap": 0.01,
}
# By hand, linear T (UA of fold 1: seeds 3/4, 3/4; fold 2: (2/3 + 1)/2 = 5/6, (1 + 0)/2 = 1/2):
#   mean (3/4 + 3/4 + 5/6 + 1/2)/4 = 17/24 = 70.83; folds 3/4, 2/3: |3/4 - 2/3|/sqrt 2 = 5.89; seeds 19/24, 15/24: 11.79
#   merged, seed 0: (4/5 + 2/3)/2, seed 1 the same = 73.33; WA 3/4 everywhere = 75.00
# late F+T (one of u3 wrong in seed 0): mean (3/4 + 3)/4 = 93.75; folds 7/8, 1 and seeds 7/8, 1: 8.84
#   merged, seed 0: (1 + 2/3)/2 = 5/6, seed 1: 1 = 91.67; WA (3/4 + 3)/4 = 93.75, merged (7/8 + 1)/2 = 93.75
# Macro-F1, which these results were made without: linear T (4/5 + 2/3)/2 = 11/15 three times, (6/7 + 0)/2 = 3/7 once:
#   mean (3 * 11/15 + 3/7)/4 = 65.71, merged (8/10 + 4/6)/2 = 73.33 for both seeds; late F+T (11/15 + 3)/4 = 93.33
LATE = ["93.75", "8.84", "8.84", "91.67", "93.75", "93.75", "93.33"]
LINEAR = ["70.83", "5.89", "11.79", "73.33", "75.00", "75.00", "65.71"]
NARROW = slice(5)
NOTES = [score_definitions(), DIFFERENCE.format(reference="late F+T"), BEST]
BESIDE: dict[str, dict[str, dict[str, Any]]] = {
    "linear T": {"ua": {"difference": 0.0271333, "noise": 0.0061}, "wa": {"difference": 0.045, "noise": None}}
}


def table_of(folder: Path, *comparisons: dict[str, Any], chosen: bool = False, **changes: Any) -> ScoreTable:
    from dataclasses import replace

    runs: list[ReportedRun] = find_runs((folder,))
    (group,) = group_runs([replace(run, **changes) if run.name == "linear T" else run for run in runs])
    return score_table(group, comparisons, chosen=chosen, beside=BESIDE)


def test_markdown_holds_the_numbers_worked_out_by_hand(two_runs: Path) -> None:
    assert markdown_table(table_of(two_runs, AGAINST)) == "\n".join(
        [
            "**tiny, 2 classes**",
            "",
            "| head | n | UA | ± folds | ± seeds | UA merged | WA | WA merged | F1 | difference |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            f"| late F+T | 8 | **{LATE[0]}** | {' | '.join(LATE[1:])} | reference |",
            f"| linear T | 8 | {' | '.join(LINEAR)} | -22.92 \\[-50.00, -2.00\\]\\* |",
            "",
            NOTES[0],
            "",
            NOTES[1].replace("*", r"\*"),
            "",
            NOTES[2],
            "",
        ]
    )


def test_chosen_columns_stand_in_the_order_given_with_what_they_mean(two_runs: Path) -> None:
    table = table_of(two_runs, AGAINST)
    made = markdown_table(table, ("wa", "ua", "points"))
    assert made.split("\n")[2:6] == [
        "| head | WA | UA | diff |",
        "|---|---:|---:|---:|",
        f"| late F+T | {LATE[4]} | **{LATE[0]}** | ref. |",
        f"| linear T | {LINEAR[4]} | {LINEAR[0]} | -22.92\\* |",
    ]
    notes = made.split("\n\n", 2)[2]
    assert notes.startswith("In percent. UA = mean of the class recalls (unweighted accuracy), WA = ")
    assert "diff = UA minus that of late F+T, in points" in notes
    for left_out in ("F1", "merged", "±", "n =", "bootstrap"):
        assert left_out not in notes
    with pytest.raises(ReportError, match=r"no column 'uaa'; expected some of utterances, ua, ua_std_folds"):
        latex_table(table, ("uaa",))


def test_csv_has_full_precision_in_percent(two_runs: Path) -> None:
    late, linear = csv.DictReader(io.StringIO(csv_table(table_of(two_runs, AGAINST, published={"ua": 68.12}))))
    assert float(linear["ua"]) == pytest.approx(100 * 17 / 24, abs=1e-7)
    assert float(linear["ua_std_folds"]) == pytest.approx(100 / 12 / 2**0.5, abs=1e-7)
    assert float(linear["ua_std_seeds"]) == pytest.approx(100 / 6 / 2**0.5, abs=1e-7)
    assert float(linear["ua_merged"]) == pytest.approx(100 * 11 / 15, abs=1e-7)
    assert linear == {
        "name": "linear T",
        "status": "done",
        "utterances": "8",
        "runs": "4",
        "ua": "70.83333333",
        "ua_std_folds": "5.89255651",
        "ua_std_seeds": "11.78511302",
        "ua_merged": "73.33333333",
        "wa": "75",
        "wa_std_folds": "0",
        "wa_std_seeds": "0",
        "wa_merged": "75",
        "macro_f1": "65.71428571",
        "macro_f1_std_folds": "10.77496048",
        "macro_f1_std_seeds": "10.77496048",
        "macro_f1_merged": "73.33333333",
        # One fold has 2 + 2 utterances, (4/5 + 2/3)/2 for both seeds; the other 3 + 1, 3/4 4/5 + 1/4 2/3 and 3/4 6/7.
        "weighted_f1": "71.9047619",
        "weighted_f1_std_folds": "2.020305089",
        "weighted_f1_std_seeds": "4.377327693",
        "weighted_f1_merged": "75",
        "kappa": "37.5",
        "kappa_std_folds": "17.67766953",
        "kappa_std_seeds": "17.67766953",
        "kappa_merged": "46.66666667",
        **dict.fromkeys([f"vote_agreement{each}" for each in ("", "_std_folds", "_std_seeds", "_merged")], ""),
        # Three of four are right in every run, and all are said with 80 %.
        **{"ece": "5", "ece_std_folds": "0", "ece_std_seeds": "0", "ece_merged": "5"},
        **dict.fromkeys([f"ece_scaled{each}" for each in ("", "_std_folds", "_std_seeds", "_merged")], ""),
        **{"aurc": "25", "aurc_std_folds": "0", "aurc_std_seeds": "0", "aurc_merged": "25"},
        "paper_ua": "68.12",
        "paper_ua_difference": "2.71333",
        "paper_ua_noise": "0.61",
        "paper_wa": "",
        "paper_wa_difference": "",
        "paper_wa_noise": "",
        "reference": "late F+T",
        "difference": "-22.91666667",
        "low": "-50",
        "high": "-2",
        "p_holm": "0.02",
        "mark": "*",
        "synthetic": "0",
        "paper": "",
        "paper_seeds": "",
        "paper_setup": "",
        "left_out_for_text": "",
    }
    assert (late["reference"], late["difference"], late["mark"]) == ("", "", "")


def printed(table: ScoreTable) -> list[str]:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(terminal_table(table, [AGAINST], {"odd one": "other utterances"}))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_terminal_fits_80_columns_and_has_the_same_numbers(two_runs: Path) -> None:
    lines = printed(table_of(two_runs, AGAINST, published={"ua": 68.12}, paper="Nobody 2000, table 7"))
    assert [line.split() for line in lines if line.startswith("late F+T")] == [["late", "F+T", "8", *LATE[NARROW], "-", "-"]]
    shown = [line.split() for line in lines if line.startswith("linear T")]
    assert shown == [["linear", "T", "8", *LINEAR[NARROW], "68.12", "+2.71", "±0.61"]]
    text = " ".join(" ".join(lines).split())
    assert "paper = Nobody 2000, table 7 (the number of the paper's seeds is not known: nothing is claimed); vs paper = " in text
    assert "The reference is the best row of this table" in text
    assert "not compared: odd one: other utterances" in text


def test_a_reference_that_was_named_is_not_said_to_be_the_best(two_runs: Path) -> None:
    table = table_of(two_runs, AGAINST, chosen=True)
    for text in (" ".join(printed(table)), markdown_table(table), latex_table(table)):
        assert "which favours it" not in text


def test_where_a_paper_has_both_measures_the_terminal_has_a_line_for_each(two_runs: Path) -> None:
    lines = printed(table_of(two_runs, AGAINST, published={"ua": 68.12, "wa": 70.5}))
    place = next(number for number, line in enumerate(lines) if line.startswith("linear T"))
    ua, wa, f1 = lines[place : place + 3]
    assert ua.split() == ["linear", "T", "8", "UA", *LINEAR[:4], "68.12", "+2.71", "±0.61"]
    assert wa.split() == ["WA", LINEAR[4], "0.00", "0.00", LINEAR[5], "70.50", "+4.50"]
    assert f1.split()[:2] == ["F1", LINEAR[6]]
    assert f1.split()[-2:] == ["-", "-"]
    assert max(map(len, lines)) <= 80


def test_the_papers_figures_have_columns_where_there_are_any(two_runs: Path) -> None:
    assert "paper" not in markdown_table(table_of(two_runs))
    ua = markdown_table(table_of(two_runs, published={"ua": 68.12}))
    assert "| F1 | paper UA | vs paper |" in ua
    assert f"| {LINEAR[-1]} | 68.12 | +2.71 ±0.61 |\n" in ua
    assert f"| {LATE[-1]} | - | - |\n" in ua
    both = markdown_table(table_of(two_runs, published={"ua": 68.12, "wa": 70.5}))
    assert "| paper UA | vs paper | paper WA | vs paper |" in both
    assert "| 68.12 | +2.71 ±0.61 | 70.50 | +4.50 |" in both
    assert r"& 68.12 & +2.71 $\pm$0.61 \\" in latex_table(table_of(two_runs, published={"ua": 68.12}), wide=True)
    narrow = latex_table(table_of(two_runs, AGAINST, published={"ua": 68.12}))
    assert r"    linear T & 70.83 & 11.79 & 75.00 & 68.12 & +2.71 $\pm$0.61 \\" in narrow


def test_synthetic_speech_is_said_in_every_format(two_runs: Path) -> None:
    table = table_of(two_runs, synthetic=True)
    assert "Synthetic speech: not comparable with any corpus." in markdown_table(table)
    assert "Synthetic speech: not comparable with any corpus." in latex_table(table)
    assert [row["synthetic"] for row in csv.DictReader(io.StringIO(csv_table(table)))] == ["1", "1"]


def test_an_unfinished_row_is_shown_as_such(two_runs: Path) -> None:
    (two_runs / "tiny-linear-T-11111111" / "result.json").unlink()
    table = table_of(two_runs)
    assert "| linear T | - | unfinished | - | - | - | - | - | - |" in markdown_table(table)
    assert "linear T: not finished: 0 runs have ended, 0 epochs logged." in markdown_table(table)
    assert r"linear T & unfinished & - & - & - \\" in latex_table(table)
    assert [row["ua"] for row in csv.DictReader(io.StringIO(csv_table(table)))][1] == ""


@pytest.mark.parametrize(
    ("name", "latex", "markdown"),
    [
        (
            "50% & $x_1$ #2 {a}~^",
            r"50\% \& \$x\_\allowbreak{}1\$ \#2 \{a\}\textasciitilde{}\textasciicircum{}",
            r"50% & $x\_1$ #2 {a}~^",
        ),
        (r"a\b | c", r"a\textbackslash{}b | c", r"a\\b \| c"),
        ("<b>*x*\nnext", "<b>*x* next", r"\<b>\*x\* next"),
    ],
)
def test_names_cannot_break_a_table(two_runs: Path, name: str, latex: str, markdown: str) -> None:
    table = table_of(two_runs, name=name)
    assert f"    {latex} & 8 &" in latex_table(table, wide=True)
    assert f"| {markdown} | 8 |" in markdown_table(table)
