"""Several results as one: against plain numpy in float64, and every reason to refuse."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from mer.protocol.calibration import fit_temperature, softmax
from mer.report.table_report import table_reports
from mer.results import Result, ResultError
from mer.results.combination import Asked, combine
from mer.results.file_hashes import FILES
from mer.results.finished_run import FinishedRun
from mer.results.run_answers import read_test_logits, read_validation_logits
from mer.results.run_files import read_predictions, read_result

Make = Callable[..., Path]
CLASSES = ("angry", "happy", "sad")
START = {"versions": {}, "command": "mer combine", "started": 1.0}
ROWS = ("ids", "truth", "logits", "validation_ids", "validation_truth", "validation_logits")


def combined(*parts: Path, weights: str = "equal", name: str | None = None) -> Result:
    asked = Asked(weights=weights, runs=parts[0].parent, name=name)
    return combine(parts, asked, styles=lambda results: {"1-0": "scripted"}, start=START)


def probabilities(directory: Path, key: str) -> np.ndarray:
    return softmax(load_file(directory / "logits.safetensors")[key])


def turned(run: FinishedRun) -> FinishedRun:
    return replace(run, logits=tuple(row[::-1] for row in run.logits))


def backwards(run: FinishedRun) -> FinishedRun:
    return replace(run, **{name: getattr(run, name)[::-1] for name in ROWS})


def not_held_out(run: FinishedRun) -> FinishedRun:
    return replace(run, validation_ids=(), validation_truth=(), validation_logits=())


def test_equal_weights_average_probabilities(make_result: Make) -> None:
    parts = make_result("a"), make_result("b", 2.0), make_result("c", 0.5)
    found = combined(*parts)
    for key in ("fold1-seed0", "fold2-seed1"):
        mean = np.mean([probabilities(each, key) for each in parts], axis=0)
        np.testing.assert_allclose(probabilities(found.directory, key), mean, rtol=1e-12)
    _, rows = read_predictions(found.directory / "predictions.csv")
    (shown,) = [row for row in rows if (row.fold, row.seed, row.id) == ("1", 0, "1-3")]
    mean = np.mean([probabilities(each, "fold1-seed0")[3] for each in parts], axis=0)
    np.testing.assert_allclose(shown.probabilities, mean, atol=1e-6)
    assert found.values["summary"]["styles"].keys() == {"scripted"}
    assert [each["weights"]["fold2-seed0"] for each in found.values["combined"]] == [1 / 3] * 3
    assert read_result(found.directory) == found.values


def test_weights_by_validation_have_its_lowest_loss(make_result: Make) -> None:
    parts = make_result("a", 0.8), make_result("b", 1.5)
    found = combined(*parts, weights="validation")
    weight = [each["weights"]["fold2-seed1"] for each in found.values["combined"]]
    held_out = [read_validation_logits(each, read_result(each))["2", 1] for each in parts]
    truth = [CLASSES.index(label) for label in held_out[0].labels]

    def loss(share: float) -> float:
        mixed = share * softmax(held_out[0].logits) + (1 - share) * softmax(held_out[1].logits)
        return float(-np.log(mixed[np.arange(len(truth)), truth]).mean())

    grid = np.linspace(0, 1, 10_001)
    assert abs(grid[np.argmin([loss(share) for share in grid])] - weight[0]) < 1e-3
    mixed = sum(share * probabilities(each, "fold2-seed1") for share, each in zip(weight, parts, strict=True))
    np.testing.assert_allclose(probabilities(found.directory, "fold2-seed1"), mixed, rtol=1e-12)


def test_the_test_part_changes_no_weight(make_result: Make) -> None:
    plain = [make_result(name, skill, seed=seed) for seed, (name, skill) in enumerate((("a", 0.5), ("b", 1.5)))]
    other = [make_result(each.name * 2, 0.5 + seed, seed=seed, change=turned) for seed, each in enumerate(plain)]
    one, two = (combined(*parts, weights="validation") for parts in (plain, other))
    assert one.directory != two.directory
    assert [each["weights"] for each in one.values["combined"]] == [each["weights"] for each in two.values["combined"]]
    assert one.values["summary"]["confusion"] != two.values["summary"]["confusion"]


@pytest.mark.parametrize("weights", ["equal", "validation"])
def test_the_order_of_a_part_changes_nothing(make_result: Make, weights: str) -> None:
    a, b, turned_b = make_result("a"), make_result("b", seed=1), make_result("b2", seed=1, change=backwards)
    one, other = (combined(a, each, weights=weights).directory for each in (b, turned_b))
    for key in ("fold1-seed0", "fold2-seed1"):
        np.testing.assert_allclose(probabilities(one, key), probabilities(other, key), rtol=1e-9)


def test_a_combination_is_a_row_like_any_other_and_can_be_combined(make_result: Make) -> None:
    a, b = make_result("a"), make_result("b", 2.0)
    named = combined(a, b, weights="validation", name="both")
    assert combined(a, b, weights="validation", name="both").reused
    of_three = combined(named.directory, make_result("c"), weights="validation")
    (report,), _ = table_reports([named.directory, of_three.directory, a])
    assert [row.name for row in report.table.rows] == ["both", "combination of both + late F+T, weighted", "late F+T"]
    assert {row["row"] for row in report.comparisons} | {report.table.reference} == {row.name for row in report.table.rows}
    run = named.values["runs"][0]
    held_out = read_validation_logits(named.directory, named.values)["1", 0]
    assert run["temperature"] == fit_temperature(held_out.logits, np.array([CLASSES.index(each) for each in held_out.labels]))


def test_a_result_has_the_temperature_and_calibration_of_each_run(make_result: Make) -> None:
    directory = make_result("a", 2.0)
    result = read_result(directory)
    test, held_out = read_test_logits(directory, result), read_validation_logits(directory, result)
    for run in result["runs"]:
        mine, theirs = (each[run["fold"], run["seed"]] for each in (test, held_out))
        truth = np.array([CLASSES.index(each) for each in theirs.labels])
        assert run["temperature"] == fit_temperature(theirs.logits, truth)
        scaled = softmax(mine.logits / run["temperature"]).max(1)
        right = mine.logits.argmax(1) == [CLASSES.index(each) for each in mine.labels]
        edges = [np.flatnonzero((scaled > bin_ / 15) & (scaled <= (bin_ + 1) / 15)) for bin_ in range(15)]
        expected = sum(len(each) / len(right) * abs(right[each].mean() - scaled[each].mean()) for each in edges if len(each))
        np.testing.assert_allclose(run["ece_scaled"], expected, rtol=1e-12)
    plain = read_result(make_result("b", change=not_held_out))
    assert "ece_scaled" not in plain["summary"]["all"]
    assert plain["summary"]["all"]["ece"]["mean_of_folds"] > 0
    assert [run["temperature"] for run in plain["runs"]] == [None] * 4
    assert not (directory.parent / "b" / "validation.csv").exists()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "corpus": ({"corpus": "other"}, r"the corpus differ: late F\+T \(a\) has tiny, late F\+T \(b\) has other"),
    "classes": ({"classes": ("angry", "glad", "sad")}, r"the classes differ: .* has angry, happy, sad, .* has angry, glad, sad"),
    "folds": ({"keys": (("1", 0), ("1", 1))}, r"the folds differ: .* has 1, 2, .* has 1;"),
    "seeds": ({"keys": (("1", 0), ("2", 0))}, r"the seeds differ: .* has 0, 1, .* has 0;"),
    "utterances": (
        {"change": lambda run: replace(run, **{name: getattr(run, name)[1:] for name in ROWS[:3]})},
        r"the utterances differ: in fold 1, seed 0, late F\+T, n 40 has 1 that late F\+T, n 38 lacks, first 1-0",
    ),
    "labels": (
        {"change": lambda run: replace(run, truth=(2, *run.truth[1:]))},
        r"the labels differ: 1-0 is angry in .* and sad in",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_results_that_differ_are_refused_with_what_differs(make_result: Make, what: str) -> None:
    special, message = REFUSED[what]
    a, b = make_result("a"), make_result("b", **special)
    with pytest.raises(ResultError, match=message):
        combined(a, b)
    assert sorted(each.name for each in a.parent.iterdir()) == ["a", "b"]


def test_fewer_than_two_twice_or_unfinished_is_refused(make_result: Make, tmp_path: Path) -> None:
    a = make_result("a")
    for parts, message in (
        ((a,), "expected two run directories or more to combine, got 1"),
        ((a, a.parent / ".." / "runs" / "a"), "is given twice"),
        ((a, tmp_path), "is no run directory"),
    ):
        with pytest.raises(ResultError, match=message):
            combined(*parts)
    (tmp_path / "runs" / "b").mkdir()
    (tmp_path / "runs" / "b" / "config.json").write_text("{}")
    with pytest.raises(ResultError, match="is not finished"):
        combined(a, tmp_path / "runs" / "b")


def test_validation_that_was_not_kept_or_is_another_is_refused(make_result: Make) -> None:
    a, b = make_result("a"), make_result("b", change=not_held_out)
    with pytest.raises(ResultError, match=r"b: does not hold what its run of fold 1, seed 0 .*; use --weights equal, or move"):
        combined(a, b, weights="validation")
    equal = combined(a, b)
    assert "ece_scaled" not in equal.values["summary"]["all"]
    c = make_result("c", change=lambda run: replace(run, validation_ids=(f"other-{run.fold}-0", *run.validation_ids[1:])))
    with pytest.raises(ResultError, match="the utterances differ: in the validation part of fold 1, seed 0"):
        combined(a, c, weights="validation")


def test_a_run_that_failed_in_one_part_is_left_out_and_told(make_result: Make) -> None:
    failed = {"fold": "2", "seed": 1, "reason": "the loss is nan"}
    found = combined(make_result("a"), make_result("b", keys=(("1", 0), ("1", 1), ("2", 0)), failed=[failed]))
    assert [(run["fold"], run["seed"]) for run in found.values["runs"]] == [("1", 0), ("1", 1), ("2", 0)]
    assert found.values["failed_runs"] == [failed]


@pytest.mark.parametrize("name", ["validation.csv", "logits.safetensors", "predictions.csv"])
def test_a_flipped_bit_in_a_part_is_refused(make_result: Make, name: str) -> None:
    a, b = make_result("a"), make_result("b")
    file = b / name
    image = bytearray(file.read_bytes())
    image[-2] ^= 1
    file.write_bytes(bytes(image))
    with pytest.raises(ResultError, match=rf"{name}: damaged or not its own"):
        combined(a, b)


def test_results_of_before_are_combined_with_equal_weights(tmp_path: Path) -> None:
    archive = Path(__file__).parents[1] / "data" / "results-v1" / "runs"
    runs = Path(shutil.copytree(archive, tmp_path / "runs"))
    late, attention, both = (next(runs.glob(f"*-{name}-*")) for name in ("late", "coattention", "multi-level"))
    found = combined(late, attention, both)
    assert FILES not in read_result(late)
    mean = np.mean([probabilities(each, "fold1-seed0") for each in (late, attention, both)], axis=0)
    np.testing.assert_allclose(probabilities(found.directory, "fold1-seed0"), mean, rtol=1e-12)
    with pytest.raises(ResultError, match="use --weights equal"):
        combined(late, attention, weights="validation")
