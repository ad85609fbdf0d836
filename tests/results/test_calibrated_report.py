"""Reliability, risk and coverage of a result's own probabilities, and at the temperatures of its runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from mer.protocol.calibration import softmax
from mer.report.confidence import pooled_answers
from mer.report.figure_set import figure_set
from mer.report.reported_run import find_runs
from mer.report.run_group import group_runs
from mer.results import ResultError
from mer.results.run_files import read_result

Make = Callable[..., Path]


def numbers(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=float)


def test_figures_show_the_answers_of_all_runs(make_result: Make) -> None:
    directory = make_result("a", 2.0)
    result, logits = read_result(directory), load_file(directory / "logits.safetensors")
    (group,) = group_runs(find_runs((directory,)))
    figures = {each.name: each for each in figure_set(group, {})}
    rows = [(run, logits[f"fold{run['fold']}-seed{run['seed']}"]) for run in result["runs"]]
    truth = np.tile(np.arange(20) % 3, 4)
    right = np.concatenate([each.argmax(1) for _, each in rows]) == truth
    sure = {
        "as it is": np.concatenate([softmax(each).max(1) for _, each in rows]),
        "at the temperature": np.concatenate([softmax(each / run["temperature"]).max(1) for run, each in rows]),
    }
    errors = []
    lines = {str(line.get_label()): line for line in figures["reliability"].figure.axes[0].lines}
    for name, confidence in sure.items():
        bins = np.ceil(confidence * 15)
        filled = [bins == each for each in sorted(set(bins))]
        np.testing.assert_allclose(numbers(lines[name].get_ydata()), [100 * right[each].mean() for each in filled])
        means = [100 * confidence[each].mean() for each in filled]
        np.testing.assert_allclose(numbers(lines[name].get_xdata()), means, atol=1e-4)
        errors.append(100 * sum(each.mean() * abs(right[each].mean() - confidence[each].mean()) for each in filled))
    assert f"late F+T {errors[0]:.1f}, {errors[1]:.1f} at the temperature" in figures["reliability"].caption
    (line,) = figures["risk-coverage"].figure.axes[0].lines
    wrong = ~right[np.argsort(-sure["as it is"], kind="stable")]
    risks = 100 * np.cumsum(wrong) / np.arange(1, 81)
    np.testing.assert_allclose(numbers(line.get_ydata()), risks, atol=1e-9)
    np.testing.assert_allclose(numbers(line.get_xdata())[[0, -1]], [1.25, 100])
    assert f"late F+T {risks.mean():.1f}; lower is better" in figures["risk-coverage"].caption


def test_a_result_without_temperatures_shows_its_probabilities_only(make_result: Make) -> None:
    directory = make_result("a", change=lambda run: replace(run, validation_ids=(), validation_truth=(), validation_logits=()))
    (run,) = find_runs((directory,))
    assert pooled_answers(run).scaled is None


def test_logits_that_were_changed_are_no_figure(make_result: Make) -> None:
    directory = make_result("a")
    file = directory / "logits.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    (run,) = find_runs((directory,))
    with pytest.raises(ResultError, match=r"logits.safetensors: damaged or not its own"):
        pooled_answers(run)
