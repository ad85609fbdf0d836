from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.report import RunGroup, find_runs, group_runs
from mer.report.figure_set import figure_set
from mer.report.figures import (
    confusion_figure,
    layer_weights_figure,
    learning_curves_figure,
    png,
    svg,
    ua_by_part_figure,
    ua_by_row_figure,
    vector,
)
from mer.report.figures.style import COLOURS, COLUMN, PAGE
from mer.report.figures.ua_by_row import RunScore
from mer.report.part_scores import PartScore
from mer.report.utterance_facts import Facts, UtteranceFacts


@pytest.fixture
def group(two_runs: Path) -> RunGroup:
    return group_runs(find_runs((two_runs,)))[0]


@pytest.fixture
def facts(group: RunGroup) -> Facts:
    predictions = {each.id: each for run in group.runs for each in run.predictions}
    return {
        name: UtteranceFacts(
            id=name, session=each.fold, speaker=name[1], style=["scripted", "improvised"][place % 2], seconds=place
        )
        for place, (name, each) in enumerate(predictions.items())
    }


def numbers(values: Any) -> list[float]:
    found: list[float] = np.asarray(values, dtype=float).tolist()
    return found


def test_every_axis_says_its_unit_and_every_figure_fits_a_column_or_a_page(group: RunGroup, facts: Facts) -> None:
    figures = figure_set(group, facts)
    assert [each.name for each in figures] == [
        "ua-by-head",
        "confusion",
        "reliability",
        "risk-coverage",
        "ua-by-session",
        "ua-by-speaker",
        "ua-by-duration",
        "ua-by-style",
        "layers-late-F-T",
        "layers-linear-T",
        "learning-curves",
    ]
    for each in figures:
        assert each.figure.get_figwidth() in (COLUMN, PAGE)
        axes = each.figure.axes
        assert axes[0].get_ylabel().endswith(")")
        assert axes[-1].get_xlabel().endswith(")")
        sizes = [text.get_fontsize() for axis in axes for text in (*axis.texts, *axis.get_xticklabels(), *axis.get_yticklabels())]
        assert min(float(size) for size in sizes) >= 5


def test_without_facts_only_sessions_divide(group: RunGroup) -> None:
    facts = {each.id: UtteranceFacts(id=each.id, session=each.fold) for run in group.runs for each in run.predictions}
    assert [each.name for each in figure_set(group, facts) if each.name.startswith("ua-by")] == ["ua-by-head", "ua-by-session"]


def test_a_run_that_is_not_finished_has_its_learning_curve(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    make_run(tmp_path / "tiny-linear-T-1", {("1", 0): "aass", ("2", 0): "aass"}, finished=False)
    (group,) = group_runs(find_runs((tmp_path,)))
    (curves,) = figure_set(group, {})
    assert curves.name == "learning-curves"
    lines = curves.figure.axes[0].lines
    # Of fold 1, which has ended, the curve and its dot; of fold 2 the curve so far.
    assert [numbers(line.get_xdata()) for line in lines] == [[1, 2, 3], [2], [1, 2]]


def test_a_confusion_matrix_shows_counts_per_seed_and_shares_of_the_row() -> None:
    figure = confusion_figure({"head": [[6, 2], [0, 4]], "other": [[1, 0], [0, 0]]}, ("angry", "sad"), {"head": 2, "other": 1})
    first, second = figure.axes
    assert [text.get_text() for text in first.texts] == ["75 %\n3", "25 %\n1", "0 %\n0", "100 %\n2"]
    assert np.allclose(numbers(first.images[0].get_array()), [[0.75, 0.25], [0.0, 1.0]])
    assert [text.get_text() for text in second.texts] == ["100 %\n1", "0 %\n0", "0 %\n0", "0 %\n0"]


def test_layer_weights_are_means_over_runs_beside_equal_shares() -> None:
    figure = layer_weights_figure({"F": [[0.2, 0.8], [0.4, 0.6]], "T": [[0.5, 0.5]]}, {"F": [3, 4], "T": [3, 4]})
    frames, text = figure.axes[0].containers
    assert np.allclose(numbers(frames[0].get_ydata()), [30, 70])
    assert np.allclose(numbers(text[0].get_ydata()), [50, 50])
    low, high = (segment[:, 1] for segment in frames[2][0].get_segments())
    assert np.allclose([high[1] - high[0], low[1] - low[0]], 2 * 100 * np.std([0.2, 0.4], ddof=1))
    assert [line.get_ydata() for line in figure.axes[0].lines if line.get_label() == "equal shares"] == [[50, 50]]


def test_points_are_means_of_folds_and_of_seeds() -> None:
    scores = [
        RunScore(fold=fold, seed=seed, ua=ua) for fold, seed, ua in [("1", 0, 0.5), ("1", 1, 0.7), ("2", 0, 0.9), ("2", 1, 0.5)]
    ]
    axis = ua_by_row_figure({"head": scores}, 0.25).axes[0]
    lines = {str(line.get_label()): numbers(line.get_xdata()) for line in axis.lines}
    assert "chance" not in lines
    assert lines["a test session"] == pytest.approx([60, 70])
    assert lines["a seed"] == pytest.approx([70, 60])
    assert lines["mean"] == pytest.approx([65, 65])
    assert [text.get_text() for text in axis.texts] == ["65.0"]


@pytest.mark.parametrize(("worst", "drawn"), [(0.39, [[25, 25]]), (0.41, [])])
def test_chance_is_drawn_where_it_is_near(worst: float, drawn: list[list[float]]) -> None:
    scores = [RunScore(fold=str(place), seed=0, ua=ua) for place, ua in enumerate((worst, 0.9))]
    axis = ua_by_row_figure({"head": scores}, 0.25).axes[0]
    assert [numbers(line.get_xdata()) for line in axis.lines if line.get_label() == "chance"] == drawn


def test_one_seed_has_no_spread_over_seeds() -> None:
    axis = ua_by_row_figure({"head": [RunScore(fold="1", seed=0, ua=0.5)]}, 0.25).axes[0]
    assert "a seed" not in [line.get_label() for line in axis.lines]


def test_a_learning_curve_has_a_line_a_run_and_a_dot_at_the_epoch_that_was_kept() -> None:
    lines = [
        {"fold": "1", "seed": seed, "epoch": n, "validation_ua": ua} for seed in (0, 1) for n, ua in enumerate((0.3, 0.6, 0.5), 1)
    ]
    # Kept by validation loss: the last one here, though the second has the highest UA. Seed 1 still trains.
    axis = learning_curves_figure({"head": lines}, {"head": {("1", 0): 3}}).axes[0]
    curves = [line for line in axis.lines if line.get_marker() == "None"]
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert [numbers(curve.get_ydata()) for curve in curves] == [[30, 60, 50]] * 2
    assert [(numbers(dot.get_xdata()), numbers(dot.get_ydata())) for dot in dots] == [([3], [50])]
    assert all(float(tick).is_integer() for tick in axis.get_xticks())


def test_parts_show_their_size_and_every_head() -> None:
    scores = {
        "a": [PartScore(part="1F", ua=0.5, utterances=1234, classes=2), PartScore(part="2M", ua=0.25, utterances=5, classes=2)],
        "b": [PartScore(part="2M", ua=1.0, utterances=5, classes=2)],
    }
    axis = ua_by_part_figure(scores, "speaker", 2).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1F\nn=1,234", "2M\nn=5"]
    assert [numbers(line.get_ydata()) for line in axis.lines[:2]] == [[50, 25], [100]]
    assert axis.get_xlabel() == "speaker (id)"


def test_a_part_that_lacks_a_class_has_no_ua() -> None:
    scores = [PartScore(part="1F", ua=1.0, utterances=1, classes=1), PartScore(part="2M", ua=0.25, utterances=5, classes=2)]
    axis = ua_by_part_figure({"a": scores}, "speaker", 2).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1F\nn=1\nlacks a class", "2M\nn=5"]
    assert (numbers(axis.lines[0].get_xdata()), numbers(axis.lines[0].get_ydata())) == ([1], [25])


@pytest.mark.parametrize(("heads", "classes", "across"), [(5, 4, 4), (5, 6, 3), (5, 10, 2), (2, 20, 1), (1, 4, 1)])
def test_cells_of_a_confusion_matrix_have_room_for_their_text(heads: int, classes: int, across: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    figure = confusion_figure(
        {f"head {head}": np.eye(classes, dtype=int).tolist() for head in range(heads)},
        names,
        dict.fromkeys([f"head {head}" for head in range(heads)], 1),
    )
    figure.draw_without_rendering()
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len({round(axis.get_position().x0, 3) for axis in shown}) == across
    widest = max(text.get_window_extent().width for text in shown[0].texts)
    assert widest < shown[0].get_window_extent().width / classes


def test_granularities_come_before_equal_shares_in_the_legend() -> None:
    figure = layer_weights_figure({name: [[0.5, 0.5]] for name in "FST"}, {name: [1, 2] for name in "FST"})
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["F frame", "S syllable", "T wordpiece (text)", "equal shares"]


def test_the_same_figure_is_the_same_bytes(group: RunGroup) -> None:
    one, other = (figure_set(group, {})[0].figure for _ in range(2))
    assert svg(one) == svg(other)
    assert vector(one) == vector(other)
    assert b"CreationDate" not in vector(one)
    assert png(one).startswith(b"\x89PNG")


def test_colours_are_told_apart_without_red_and_green() -> None:
    """Under full deuteranopia and protanopia (Vienot, Brettel and Mollon 1999, linear RGB) no two colours meet."""
    rgb = np.array([[int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour in COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for matrix in (
        [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    ):
        seen = linear @ np.array(matrix).T
        distances = [np.abs(a - b).max() for place, a in enumerate(seen) for b in seen[:place]]
        assert min(distances) > 0.05
