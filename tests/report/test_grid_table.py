import io
import re
from typing import Any

import pytest
from rich.console import Console, RenderableType
from rich.table import Table

from mer.commands.grid import preset_table
from mer.report.grid_table import grid_report, grid_table, score_table_of_grid


def shown(renderable: RenderableType, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def finished(name: str, ua: float, published: float | None = None, **paper: Any) -> dict[str, Any]:
    beside = None
    if published is not None:
        beside = {"published": published / 100, "difference": ua - published / 100, "noise": 0.0061, "verdict": "inside"} | paper
    score = {"mean_of_folds": ua, "merged": ua + 0.001, "std_folds": 0.0215, "std_seeds": 0.0043}
    weighted = {"mean_of_folds": ua - 0.02, "merged": ua - 0.01, "std_folds": 0.01, "std_seeds": 0.01}
    return {
        "name": name,
        "status": "done",
        "branches": ["F", "T"],
        "published_ua": published,
        "paper": beside,
        "directory": f"runs-of-{name}",
        "configs": [{"text_disjoint": False}],
        "setup": None if published is None else {"differs": [], "unknown": []},
        "summary": {
            "runs": 25,
            "folds": list("12345"),
            "seeds": [0, 1, 2, 3, 4],
            "all": {"utterances": 5531, "ua": score, "wa": weighted, "macro_f1": weighted},
        },
        "utterances": {"used": 5531},
        "failed_runs": [],
    }


def data(*rows: dict[str, Any], **other: Any) -> dict[str, Any]:
    grid = {"name": "x", "title": "One table", "paper": "Nobody 2000, table 7"}
    return {
        "grid": grid,
        "synthetic": False,
        "rows": list(rows),
        "comparisons": [],
        "not_compared": {},
        "directory": "runs/here",
    } | other


def table_of(*rows: dict[str, Any]) -> Table:
    return grid_table(score_table_of_grid(data(*rows)))


COMPARED = {
    "row": "late F",
    "reference": "late F+S",
    "pairs": 25,
    "difference": -0.0123,
    "low": -0.02,
    "high": -0.005,
    "p": 0.004,
    "p_holm": 0.008,
    "p_folds": 0.03,
    "p_folds_holm": 0.06,
    "p_bootstrap": 0.01,
}


def line_of(text: str, name: str) -> list[str]:
    """Cells of the table's line that starts with a name."""
    (line,) = [line for line in text.splitlines() if re.match(rf"\s*{re.escape(name)}\s", line)]
    return line.strip().removeprefix(name).split()


def test_a_row_shows_ours_both_spreads_the_paper_and_the_difference() -> None:
    text = shown(table_of(finished("late F+S+T", 0.7512, 75.80)))
    assert line_of(text, "late F+S+T") == ["75.12", "2.15", "0.43", "75.22", "73.12", "75.80", "-0.68", "outside", "±0.61"]


def test_the_columns_are_named_in_this_order() -> None:
    head = line_of(shown(table_of(finished("a", 0.5, 50.0))), "row")
    assert head == ["UA", "folds", "seeds", "merged", "WA", "paper", "diff", "noise"]


def test_rows_without_a_published_figure_have_dashes_and_a_table_without_any_has_no_such_columns() -> None:
    both = shown(table_of(finished("a", 0.5, 50.0), finished("b", 0.4)))
    assert line_of(both, "b")[5:] == ["-", "-", "-"]
    assert line_of(both, "a")[6] == "0.00"
    none = shown(grid_report(data(finished("b", 0.4))))
    assert "paper" not in none.replace("Nobody 2000, table 7", "")
    assert line_of(none, "b") == ["40.00", "2.15", "0.43", "40.10", "38.00", "39.00", "38.00"]


def test_rows_that_failed_or_wait_keep_their_place_and_the_reason_is_below() -> None:
    failed = {"name": "b", "status": "failed", "published_ua": None, "failure": "the loss is [nan]"}
    waiting = {"name": "c", "status": "pending", "published_ua": None}
    text = shown(grid_report(data(finished("a", 0.5, 50.0), failed, waiting)))
    assert line_of(text, "b") == ["failed", *["-"] * 7]
    assert line_of(text, "c") == ["pending", *["-"] * 7]
    assert "failed: b: the loss is [nan]" in text


def test_a_failed_run_is_named_with_its_reason() -> None:
    row = finished("a", 0.5)
    row["failed_runs"] = [{"fold": "3", "seed": 1, "reason": "epoch 2, step 7: the loss is nan"}]
    assert "failed run: a, fold 3 seed 1: epoch 2, step 7: the loss is nan" in shown(grid_report(data(row)))


def test_synthetic_speech_is_said_above_the_table() -> None:
    text = shown(grid_report(data(finished("a", 0.5, 50.0), synthetic=True)))
    assert text.index("synthetic speech: not comparable with the paper") < text.index("merged")
    assert "synthetic" not in shown(grid_report(data(finished("a", 0.5, 50.0))))


def test_the_best_row_is_set_off() -> None:
    table = table_of(finished("a", 0.5), finished("b", 0.7), finished("c", 0.6))
    assert [row.style for row in table.rows] == [None, "bold", None]


def test_comparisons_are_below_with_a_warning_about_the_best_row() -> None:
    rows = [finished("late F", 0.70), finished("late F+S", 0.72)]
    text = " ".join(shown(grid_report(data(*rows, comparisons=[COMPARED]))).split())
    assert "compared with late F+S" in text
    assert "-1.23 -2.00 -0.50" in text
    assert "which favours it" in text
    assert "which favours it" not in shown(grid_report(data(*rows)))


def test_what_could_not_be_compared_is_named() -> None:
    text = shown(grid_report(data(finished("a", 0.5), not_compared={"b [x]": "its classes are not those of a"})))
    assert "not compared: b [x]: its classes are not those of a" in text


def test_runs_and_utterances_are_said_once_where_they_are_the_same() -> None:
    small = finished("c", 0.5)
    small["utterances"] = {"used": 480}
    small["summary"]["all"]["utterances"] = 480
    same = shown(grid_report(data(finished("a", 0.5), finished("b", 0.6))))
    assert same.count("25 runs (5 folds x 5 seeds), 5,531 utterances") == 1
    assert "each row: 25 runs" in same
    other = shown(grid_report(data(finished("a", 0.5), finished("b", 0.6), small)))
    assert "a, b: 25 runs (5 folds x 5 seeds), 5,531 utterances" in other
    assert "c: 25 runs (5 folds x 5 seeds), 480 utterances" in other


def test_n_is_what_was_tested() -> None:
    part = finished("a", 0.5)
    part["utterances"], part["summary"]["folds"] = {"used": 400}, ["1", "2"]
    part["summary"]["all"]["utterances"] = 160
    assert "160 utterances tested (of 400)" in shown(grid_report(data(part)))


@pytest.mark.parametrize("width", [80, 120])
def test_without_the_set_up_of_the_paper_what_differs_stands_for_the_difference(width: int) -> None:
    other = finished("b", 0.4) | {"setup": {"differs": ["speech model", "n"], "unknown": ["layers"]}}
    text = shown(grid_report(data(finished("a", 0.5, 50.0), other)), width)
    assert line_of(text, "b")[5:] == ["-", "differs", "-"]
    said = "no figure of Nobody 2000, table 7 beside it, differs in: speech model, n; set-up unknown: layers"
    assert f"b: {said}" in " ".join(text.split())
    alone = " ".join(shown(grid_report(data(other, other | {"name": "c"})), width).split())
    assert f"each row: {said}" in alone
    assert "paper =" not in alone


@pytest.mark.parametrize(
    ("seeds", "said"), [(5, "(mean of 5 seeds)"), (1, "(one run: spread unknown, taken to be ours)"), (None, "is not known")]
)
def test_the_seeds_of_the_paper_are_said(seeds: int | None, said: str) -> None:
    grid = {"name": "x", "title": "One table", "paper": "Nobody 2000, table 7", "paper_seeds": seeds}
    assert said in " ".join(shown(grid_report(data(finished("a", 0.5, 50.0), grid=grid))).split())


def test_what_training_lost_for_disjoint_texts_is_said() -> None:
    row = finished("a", 0.5) | {"configs": [{"text_disjoint": True}], "removed_for_text": {"1": 1312, "2": 0}}
    text = " ".join(shown(grid_report(data(row))).split())
    assert "a: text-disjoint training without utterances whose sentence recurs: 1,312 for test session 1, 0 for 2" in text


def test_a_name_is_no_markup() -> None:
    assert "[bold]x" in shown(table_of(finished("[bold]x", 0.5)))


@pytest.mark.parametrize("width", [80, 120])
def test_the_longest_row_of_the_paper_stays_on_one_line(width: int) -> None:
    name = "coattention F+P+S+W+T"
    text = shown(grid_report(data(finished(name, 0.7364, 72.64))), width)
    assert line_of(text, name)[-2:] == ["outside", "±0.61"]
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_presets_are_listed_with_what_they_are() -> None:
    presets: list[dict[str, Any]] = [
        {"name": "one", "title": "A table", "paper": "Nobody 2000", "rows": ["a", "b"]},
        {"name": "two", "title": "B", "paper": None, "rows": ["a"]},
    ]
    text = shown(preset_table(presets))
    assert line_of(text, "one") == ["2", "A", "table", "Nobody", "2000"]
    assert line_of(text, "two") == ["1", "B", "-"]
    assert "mer grid FILE" in text
