import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mer.report import ReportError, find_runs, make_pair, pair_report

COMPARISON: dict[str, Any] = {
    "row": "late F+T",
    "reference": "linear T",
    "pairs": 4,
    "difference": 0.2291666666666667,
    "low": 0.02,
    "high": 0.5,
    "p": 0.01,
    "p_holm": 0.01,
    "p_folds": None,
    "p_folds_holm": None,
    "p_bootstrap": 0.01,
}


def test_recalls_and_changed_utterances_are_those_of_the_answers(two_runs: Path) -> None:
    late, linear = find_runs((two_runs,))
    pair = make_pair(late, linear, COMPARISON)
    # Of 10 angry answers late has all, linear u2 once and u7 once wrong; of 6 sad ones late lacks one, linear u8 and u4's (aasa).
    assert [change.label for change in pair.recalls] == ["angry", "sad"]
    assert [change.a for change in pair.recalls] == pytest.approx([1, 5 / 6])
    assert [change.b for change in pair.recalls] == pytest.approx([8 / 10, 4 / 6])
    assert pair.recalls[0].difference == pytest.approx(0.2)
    assert pair.utterances == 8
    # Means tie where seeds disagree, and the first class counts: late about u3, linear about u4 and u8.
    assert {(each.id, each.a, each.b, each.kind) for each in pair.changed} == {
        ("u4", "sad", "angry", "only a right"),
        ("u8", "sad", "angry", "only a right"),
        ("u3", "angry", "sad", "only b right"),
    }
    assert [each.id for each in pair.changed] == ["u3", "u4", "u8"]
    assert [each.a_confidence for each in pair.changed] == pytest.approx([0.5, 0.8, 0.8])
    assert [each.b_confidence for each in pair.changed] == pytest.approx([0.8, 0.5, 0.5])
    swapped = make_pair(linear, late, COMPARISON)
    assert (swapped.counted("only a right"), swapped.counted("only b right"), swapped.counted("both wrong")) == (1, 2, 0)


def test_the_report_counts_what_changed(two_runs: Path) -> None:
    late, linear = find_runs((two_runs,))
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(pair_report(make_pair(late, linear, COMPARISON)))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "3 of 8 utterances changed: 2 only a right, 1 only b right, 0 both wrong" in text
    assert ["angry", "100.00", "80.00", "+20.00"] in [line.split() for line in text.splitlines()]
    assert ["u8", "sad", "sad", "angry", "80.00", "50.00"] in [line.split() for line in text.splitlines()]


def test_a_run_that_is_not_finished_cannot_be_compared(two_runs: Path, tmp_path: Path, make_run: Callable[..., Path]) -> None:
    (late, _), (half,) = find_runs((two_runs,)), find_runs((make_run(tmp_path / "half", {("1", 0): "aass"}, finished=False),))
    with pytest.raises(ReportError, match=r"half.*is not finished: there is nothing to compare yet"):
        make_pair(late, half, COMPARISON)
