import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.protocol.comparison import compare
from mer.report import RunGroup, find_runs, group_runs
from mer.report.figure_set import figure_set
from mer.report.figures import (
    confusion_figure,
    inline_svg,
    layer_weights_figure,
    learning_curves_figure,
    png,
    svg,
    ua_by_part_figure,
    ua_by_row_figure,
    vector,
)
from mer.report.figures.learning_curves import mean_curve
from mer.report.figures.style import COLUMN, PAGE
from mer.report.figures.ua_by_row import RunScore
from mer.report.head_looks import COLOURS, head_looks
from mer.report.paired_scores import part_gaps, row_differences
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
        "gaps",
        "layer-weights",
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
    # Both runs, of which one has ended and has its dot; half of them have reached the third epoch.
    assert [numbers(line.get_xdata()) for line in lines] == [[1, 2, 3], [2]]


def test_a_confusion_matrix_shows_counts_per_seed_and_shares_of_the_row() -> None:
    figure = confusion_figure({"head": [[6, 2], [0, 4]], "other": [[1, 0], [0, 0]]}, ("angry", "sad"), {"head": 2, "other": 1})
    first, second = figure.axes
    assert [text.get_text() for text in first.texts] == ["75 %\n3", "25 %\n1", "0 %\n0", "100 %\n2"]
    assert np.allclose(numbers(first.images[0].get_array()), [[0.75, 0.25], [0.0, 1.0]])
    assert [text.get_text() for text in second.texts] == ["100 %\n1", "0 %\n0", "0 %\n0", "0 %\n0"]


def test_layer_weights_are_means_over_runs_beside_equal_shares() -> None:
    shares = {"F": {"one": [[0.2, 0.8], [0.4, 0.6]], "other": [[0.5, 0.5]]}}
    figure = layer_weights_figure(shares, {"F": {"one": [3, 4], "other": [3, 4]}}, head_looks(["one", "other"]))
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
    axis = ua_by_row_figure({"head": scores}, head_looks(["head"]), 0.25).axes[0]
    folds, seeds, mean = (numbers(line.get_xdata()) for line in axis.lines)
    assert folds == pytest.approx([60, 70])
    assert seeds == pytest.approx([70, 60])
    assert mean == pytest.approx([65, 65])
    assert [text.get_text() for text in axis.texts] == ["65.0"]


@pytest.mark.parametrize(("worst", "drawn"), [(0.39, [[25, 25]]), (0.41, [])])
def test_chance_is_drawn_where_it_is_near(worst: float, drawn: list[list[float]]) -> None:
    scores = [RunScore(fold=str(place), seed=0, ua=ua) for place, ua in enumerate((worst, 0.9))]
    axis = ua_by_row_figure({"head": scores}, head_looks(["head"]), 0.25).axes[0]
    assert [numbers(line.get_xdata()) for line in axis.lines if line.get_label() == "chance"] == drawn


def test_one_seed_has_no_spread_over_seeds() -> None:
    figure = ua_by_row_figure({"head": [RunScore(fold="1", seed=0, ua=0.5)]}, head_looks(["head"]), 0.25)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a test session", "mean"]


def test_a_mean_curve_ends_where_fewer_than_half_of_the_runs_go_on() -> None:
    runs = [{1: 0.2, 2: 0.4, 3: 0.6}, {1: 0.4, 2: 0.8}, {1: 0.3}]
    curve = mean_curve(runs)
    # By hand: epoch 1 has all three, 2 two of them, 3 a single one.
    assert curve.epochs.tolist() == [1, 2]
    assert curve.mean == pytest.approx([0.3, 0.6])
    assert curve.spread == pytest.approx([0.1, 0.4 / 2**0.5])
    assert mean_curve([{1: 0.5}]).spread.tolist() == [0]


def test_a_learning_curve_has_a_band_and_a_dot_at_the_epoch_that_was_kept() -> None:
    lines = [
        {"fold": "1", "seed": seed, "epoch": n, "validation_ua": ua}
        for seed, scores in ((0, (0.3, 0.6, 0.5)), (1, (0.5, 0.6, 0.7)))
        for n, ua in enumerate(scores, 1)
    ]
    # Kept by validation loss: the last one here, though the second has the highest UA. Seed 1 still trains.
    axis = learning_curves_figure({"head": lines}, {"head": {("1", 0): 3}}, head_looks(["head"])).axes[0]
    curve, dots = axis.lines
    assert numbers(curve.get_ydata()) == pytest.approx([40, 60, 60])
    assert (numbers(dots.get_xdata()), numbers(dots.get_ydata())) == ([3], [50])
    edges = axis.collections[0].get_paths()[0].vertices
    spread = 100 * np.std([0.3, 0.5], ddof=1)
    assert {round(float(y), 6) for x, y in np.asarray(edges) if x == 1} == {round(40 - spread, 6), round(40 + spread, 6)}
    assert all(float(tick).is_integer() for tick in axis.get_xticks())


def test_parts_show_their_size_and_every_head() -> None:
    scores = {
        "a": [PartScore(part="1F", ua=0.5, utterances=1234, classes=2), PartScore(part="2M", ua=0.25, utterances=5, classes=2)],
        "b": [PartScore(part="2M", ua=1.0, utterances=5, classes=2)],
    }
    axis = ua_by_part_figure(scores, head_looks(list(scores)), "speaker", 2).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1F\nn=1,234", "2M\nn=5"]
    assert [numbers(line.get_ydata()) for line in axis.lines[:2]] == [[50, 25], [100]]
    assert axis.get_xlabel() == "speaker (id)"


def test_a_part_that_lacks_a_class_has_no_ua() -> None:
    scores = [PartScore(part="1F", ua=1.0, utterances=1, classes=1), PartScore(part="2M", ua=0.25, utterances=5, classes=2)]
    axis = ua_by_part_figure({"a": scores}, head_looks(["a"]), "speaker", 2).axes[0]
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


def test_a_granularity_is_a_panel_and_a_head_has_one_colour_in_all_of_them() -> None:
    heads = {"a": [[0.5, 0.5]], "b": [[0.4, 0.6]]}
    numbers_of = {"a": [1, 2], "b": [1, 2]}
    looks = head_looks(["a", "b"])
    figure = layer_weights_figure({"F": heads, "T": {"b": heads["b"]}}, {"F": numbers_of, "T": numbers_of}, looks)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "equal shares"]
    frame, text = figure.axes
    assert (frame.get_title(), text.get_title()) == ("F frame", "T wordpiece (text)")
    colours = [[each[0].get_color() for each in axis.containers] for axis in (frame, text)]
    assert colours == [[looks["a"].colour, looks["b"].colour], [looks["b"].colour]]


def test_every_figure_takes_a_heads_colour_from_one_place(group: RunGroup, facts: Facts) -> None:
    colours = {look.colour.lower() for look in group.looks.values()}
    others = {paper.lower() for paper, _ in COLOURS} - colours - {"#000000"}
    for each in figure_set(group, facts):
        drawn = set(re.findall("#[0-9a-f]{6}", svg(each.figure).decode()))
        assert not others & drawn
        assert each.name == "confusion" or colours <= drawn or each.name in ("layer-weights", "gaps")


def test_looks_of_more_heads_than_colours_differ() -> None:
    looks = list(head_looks([str(number) for number in range(20)]).values())
    assert len({(look.colour, look.dash) for look in looks}) == 20
    assert [looks[place].face for place in (0, 8)] == [looks[0].colour, "none"]


def test_differences_and_gaps_are_those_of_the_folds_that_have_both(two_runs: Path, facts: Facts) -> None:
    linear, late = sorted(find_runs((two_runs,)), key=lambda run: run.name, reverse=True)
    one_fold = replace(linear, result={**linear.result, "runs": [each for each in linear.result["runs"] if each["fold"] == "1"]})
    # By hand (conftest): linear T has 3/4 in both seeds of fold 1, late F+T 3/4 and 1.
    assert sorted(each.ua for each in row_differences(one_fold, late)) == pytest.approx([-0.25, 0])
    assert sorted(each.ua for each in row_differences(late, one_fold)) == pytest.approx([0, 0.25])
    compared = compare({("1", 0): 0.75, ("1", 1): 0.75}, {(e["fold"], e["seed"]): e["ua"] for e in late.result["runs"]})
    assert np.mean([each.ua for each in row_differences(one_fold, late)]) == pytest.approx(compared.difference)
    style = {name: each.style for name, each in facts.items()}
    gaps = part_gaps(linear.predictions, style, ("improvised", "scripted"), 2)
    # Fold 1 has both classes in both parts: u2 angry, u4 sad against u1 angry, u3 sad; scripted of fold 2 has no sad.
    said = {(0, "u1"): 1, (0, "u2"): 1, (0, "u3"): 1, (0, "u4"): 0, (1, "u1"): 1, (1, "u2"): 0, (1, "u3"): 1, (1, "u4"): 1}
    expected = {seed: (said[seed, "u2"] + said[seed, "u4"] - said[seed, "u1"] - said[seed, "u3"]) / 2 for seed in (0, 1)}
    assert {(each.fold, each.seed): each.ua for each in gaps} == {("1", seed): gap for seed, gap in expected.items()}


def test_a_figure_in_the_page_takes_its_colours_from_the_theme(group: RunGroup, facts: Facts) -> None:
    drawings = {each.name: inline_svg(each.figure, each.name) for each in figure_set(group, facts) if each.name != "confusion"}
    for name, drawing in drawings.items():
        assert drawing.startswith("<svg")
        assert not re.findall("#[0-9a-f]{6}\\b", drawing), name
        assert "<style" not in drawing
        assert "<!--" not in drawing
        ids = re.findall(r'\bid="([^"]+)"', drawing)
        assert all(each.startswith(f"{name}-") for each in ids)
        assert {each for each in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', drawing) for each in each if each} <= set(ids)
    assert "var(--head-0)" in drawings["ua-by-head"]
    assert "var(--fore)" in drawings["ua-by-head"]


def test_a_legend_of_long_names_stays_inside_its_figure() -> None:
    names = [f"late fusion of frames, syllables and words with the transcript, number {number}" for number in range(8)]
    scores = {name: [PartScore(part=part, ua=0.5, utterances=5, classes=2) for part in "ab"] for name in names}
    figure = ua_by_part_figure(scores, head_looks(names), "speaker", 2)
    figure.draw_without_rendering()
    box, whole = figure.legends[0].get_window_extent(), figure.bbox
    assert (box.x0 >= whole.x0, box.x1 <= whole.x1, box.y1 <= whole.y1) == (True, True, True)
    assert figure.axes[0].get_window_extent().height > 1.2 * figure.dpi


def test_names_of_rows_do_not_meet() -> None:
    names = [f"late fusion of frames, syllables and words with the transcript, number {number}" for number in range(4)]
    scores = {name: [RunScore(fold=str(fold), seed=0, ua=0.5 + 0.1 * fold) for fold in range(2)] for name in names}
    figure = ua_by_row_figure(scores, head_looks(names), 0.25)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))


def test_the_same_figure_is_the_same_bytes(group: RunGroup) -> None:
    one, other = (figure_set(group, {})[0].figure for _ in range(2))
    assert svg(one) == svg(other)
    assert vector(one) == vector(other)
    assert b"CreationDate" not in vector(one)
    assert png(one).startswith(b"\x89PNG")


@pytest.mark.parametrize("colours", list(zip(*COLOURS, strict=True)), ids=["paper", "dark"])
def test_colours_are_told_apart_without_red_and_green(colours: tuple[str, ...]) -> None:
    """Under full deuteranopia and protanopia (Vienot, Brettel and Mollon 1999, linear RGB) no two colours meet."""
    rgb = np.array([[int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for matrix in (
        [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    ):
        seen = linear @ np.array(matrix).T
        distances = [np.abs(a - b).max() for place, a in enumerate(seen) for b in seen[:place]]
        assert min(distances) > 0.05
