"""README's figures cannot drift from what the demo gives."""

import re
from typing import Any

import pytest

from mer.tests.demo.readme_table import README, TOLERANCE, differences, gain_of, rewritten, rows_of, table_of


def result(branches: list[str], fusion: str, ua: float) -> dict[str, Any]:
    score = {"mean_of_folds": ua, "merged": ua, "std_folds": 0.02, "std_seeds": 0.01}
    return {
        "synthetic": True,
        "branches": branches,
        "config": {"fusion": fusion},
        "summary": {"all": {"utterances": 400, "ua": score, "wa": score, "macro_f1": score}},
    }


@pytest.fixture
def results() -> list[dict[str, Any]]:
    return [
        result(["T"], "linear", 0.66),
        result(["F", "S"], "late", 0.675),
        result(["F", "S", "T"], "late", 0.76),
    ]


def test_a_written_table_is_read_back_and_has_no_difference(results: list[dict[str, Any]]) -> None:
    readme = rewritten(README.read_text(), results)
    assert differences(readme, results) == []
    assert rows_of(table_of(results))["late F+S"] == [400, 67.5, 2, 1, 67.5, 67.5, 67.5, 67.5]
    assert gain_of(table_of(results)) == "eight"
    assert "fusing them gains eight points" in readme
    assert rewritten(readme, results) == readme


@pytest.mark.parametrize("points", [TOLERANCE + 0.1, -TOLERANCE - 0.1])
def test_a_changed_figure_is_named_and_a_near_one_is_not(results: list[dict[str, Any]], points: float) -> None:
    readme = rewritten(README.read_text(), results)
    moved = re.sub(r"(late F\+S +400 +)67\.50", lambda found: f"{found[1]}{67.5 + points:.2f}", readme)
    assert moved != readme
    assert differences(moved, results)[0] == f"late F+S: README.md says {67.5 + points:.1f}, the demo 67.5"
    results[1]["summary"]["all"]["ua"] = results[1]["summary"]["all"]["ua"] | {"mean_of_folds": 0.675 + 0.029}
    assert differences(readme, results) == []


def test_another_n_another_row_and_another_gain_are_named(results: list[dict[str, Any]]) -> None:
    readme = rewritten(README.read_text(), results)
    assert differences(readme.replace("gains eight", "gains nine"), results) == [
        "README.md says that fusion gains nine points, its own table eight"
    ]
    assert "the demo linear T, late F+S" in differences(readme, results[:2])[0]
    results[0]["summary"]["all"]["utterances"] = 399
    assert differences(readme, results) == ["linear T: README.md says n = 400, the demo 399"]
    assert "no table" in differences("", results)[0]
