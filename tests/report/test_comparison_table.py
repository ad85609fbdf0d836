import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from mer.report import comparison_table
from mer.report.comparison_table import mark, points, probability


def row(name: str, reference: str = "late F+S+T", **values: Any) -> dict[str, Any]:
    return {
        "row": name,
        "reference": reference,
        "pairs": 25,
        "difference": -0.0216,
        "low": -0.0336,
        "high": -0.0106,
        "p": 0.0104,
        "p_holm": 0.0416,
        "p_folds": 0.02,
        "p_folds_holm": 0.12,
        "p_bootstrap": 0.5,
        **values,
    }


def printed(shown: RenderableType, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(shown)
    return console.export_text()


def test_a_row_shows_points_interval_and_p_before_and_after_correction() -> None:
    text = printed(comparison_table([row("late F+T")]))
    line = next(line for line in text.splitlines() if "late F+T" in line)
    assert line.split() == ["late", "F+T", "25", "-2.16", "-3.36", "-1.06", "0.010", "0.042", "0.020", "0.120", "*"]
    assert "compared with late F+S+T" in text
    assert "row minus reference" in text


def test_each_reference_has_its_table() -> None:
    lines = printed(comparison_table([row("a"), row("b", "text T"), row("c")])).splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("compared with")]
    assert [lines[number].strip() for number in starts] == ["compared with late F+S+T", "compared with text T"]
    names = [(number, line.split()[0]) for number, line in enumerate(lines) if " 25 " in line]
    assert [name for number, name in names if number < starts[1]] == ["a", "c"]
    assert [name for number, name in names if number > starts[1]] == ["b"]


def test_eighty_columns_keep_every_number_whole() -> None:
    lines = printed(comparison_table([row("coattention F+P+S+W+T", p=1e-9, p_holm=1e-8)]), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(
        line.split()[-9:] == ["25", "-2.16", "-3.36", "-1.06", "<0.001", "<0.001", "0.020", "0.120", "*"] for line in lines
    )


def test_names_are_printed_as_they_are() -> None:
    text = printed(comparison_table([row("[red]x", "[bold]y")]))
    assert "[red]x" in text
    assert "compared with [bold]y" in text


def test_one_row_alone_is_not_compared() -> None:
    assert "nothing to compare" in printed(comparison_table([]))


@pytest.mark.parametrize(
    ("pairs", "folds", "shown"),
    [(0.049, 0.049, "**"), (0.049, 0.05, "*"), (0.05, 0.01, ""), (0.01, None, "*"), (None, None, ""), (None, 0.01, "")],
)
def test_a_mark_is_given_after_correction_only(pairs: float | None, folds: float | None, shown: str) -> None:
    assert mark(row("x", p=0.001, p_folds=0.001, p_holm=pairs, p_folds_holm=folds)) == shown


def test_points_have_a_sign_and_zero_has_none() -> None:
    assert [points(each) for each in (0.0123, -0.5, 0.0, -0.00001, 0.00001, None)] == [
        "+1.23",
        "-50.00",
        "0.00",
        "0.00",
        "0.00",
        "-",
    ]


def test_a_p_value_is_never_zero() -> None:
    assert [probability(each) for each in (1.0, 0.0306, 0.001, 0.0009, 0.0, None)] == [
        "1.000",
        "0.031",
        "0.001",
        "<0.001",
        "<0.001",
        "-",
    ]
