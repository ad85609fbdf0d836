import io

import numpy as np
import pytest
from rich.console import Console

from mer.report import layer_chart
from mer.report.layer_chart import CELLS


def printed(shares: dict[str, list[list[float]]], layers: dict[str, list[int]], width: int = 120) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(layer_chart(shares, layers))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_each_layer_has_its_bar_and_its_share_in_percent() -> None:
    lines = printed({"F": [[0.5, 0.25, 0.25]]}, {"F": [1, 2, 12]})
    assert lines[0].strip() == "F (1 run)"
    assert [line.split() for line in lines[1:4]] == [
        ["1", "█" * CELLS, "50.0"],
        ["2", "█" * (CELLS // 2), "25.0"],
        ["12", "█" * (CELLS // 2), "25.0"],
    ]


def test_parts_of_a_cell_are_drawn_in_eighths() -> None:
    lines = printed({"F": [[0.8, 0.8 * 3 / (8 * CELLS), 0.0]]}, {"F": [1, 2, 3]})
    assert lines[2].split() == ["2", "▍", "1.9"]
    assert lines[3].split() == ["3", "0.0"]


def test_several_runs_show_their_mean_and_their_sample_deviation() -> None:
    runs = [[0.5, 0.5], [0.6, 0.4], [0.9, 0.1]]
    lines = printed({"P": runs}, {"P": [3, 4]})
    assert lines[0].strip() == "P (3 runs)"
    for line, values in zip(lines[1:3], np.transpose(runs), strict=True):
        assert line.split()[-2:] == [f"{100 * values.mean():.1f}", f"±{100 * values.std(ddof=1):.1f}"]


def test_a_negative_share_lies_on_the_other_side_of_the_axis() -> None:
    lines = printed({"F": [[1.0, -0.25, 0.25, -0.001]]}, {"F": [1, 2, 3, 4]})
    axis = {line.index("│") for line in lines[1:5]}
    assert len(axis) == 1
    assert lines[1].split("│")[1].split() == ["█" * CELLS, "100.0"]
    assert lines[2].split("│")[0].split() == ["2", "░" * (CELLS // 4)]
    assert lines[2].split("│")[1].split() == ["-25.0"]
    assert lines[4].split("│")[0].split() == ["4", "░"]  # too small for a cell, but not on the right side


def test_all_granularities_have_one_scale() -> None:
    lines = printed({"F": [[0.9, 0.1]], "T": [[0.45, 0.55]]}, {"F": [1, 2], "T": [1, 2]}, width=30)
    bars = [line.count("█") for line in lines if "█" in line]
    assert bars == [CELLS, 1, CELLS // 2, int(CELLS * 0.55 / 0.9)]


def test_charts_stand_side_by_side_where_there_is_room() -> None:
    shares = {name: [[1 / 12] * 12] * 2 for name in "FPSWT"}
    layers = {name: list(range(1, 13)) for name in "FPSWT"}
    for width, first in ((120, ["F", "P", "S"]), (80, ["F", "P"]), (40, ["F"])):
        lines = printed(shares, layers, width)
        assert max(map(len, lines)) <= width
        assert [word for word in lines[0].split() if word in "FPSWT"][: len(first)] == first


def test_shares_that_are_all_zero_are_drawn() -> None:
    assert printed({"F": [[0.0, 0.0]]}, {"F": [1, 2]})[1].split() == ["1", "0.0"]


def test_shares_that_do_not_fit_the_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="granularity F: 2 shares a run for 3 layers"):
        layer_chart({"F": [[0.5, 0.5]]}, {"F": [1, 2, 3]})
    with pytest.raises(ValueError, match="granularity F: 1 and 2 shares a run for 2 layers"):
        layer_chart({"F": [[0.5, 0.5], [1.0]]}, {"F": [1, 2]})
    with pytest.raises(ValueError, match="granularity F: no shares a run for 2 layers"):
        layer_chart({"F": []}, {"F": [1, 2]})
