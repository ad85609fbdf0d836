"""Calibration, temperature, selective prediction and mixtures against plain loops and general optimisers in float64."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from sklearn.metrics import log_loss

from mer.protocol import ProtocolError, RunPredictions, summarise
from mer.protocol.answers import Answers
from mer.protocol.calibration import (
    TEMPERATURES,
    area_under_risk_coverage,
    calibration_error,
    fit_temperature,
    log_softmax,
    reliability,
    risk_coverage,
    scaled_calibration_error,
    softmax,
)
from mer.protocol.mixture import log_mixture, mixture_weights


def drawn(seed: int, count: int = 300, classes: int = 4, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are right about as often as half of their confidence says."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, classes)) * scale
    chances = np.exp(logits / 3) / np.exp(logits / 3).sum(1, keepdims=True)
    return logits, np.array([random.choice(classes, p=each) for each in chances])


def answers_of(logits: np.ndarray, truth: np.ndarray) -> Answers:
    return Answers(truth=truth, prediction=logits.argmax(1), probabilities=softmax(logits), scaled=softmax(logits / 3))


def calibration_reference(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """Guo et al. 2017, eq. 3, with plain loops."""
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [row for row in range(len(truth)) if low < probabilities[row].max() <= high]
        if inside:
            accuracy = sum(probabilities[row].argmax() == truth[row] for row in inside) / len(inside)
            confidence = sum(probabilities[row].max() for row in inside) / len(inside)
            total += len(inside) / len(truth) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_calibration_error_equals_plain_loops(seed: int) -> None:
    logits, truth = drawn(seed)
    answers = answers_of(logits, truth)
    assert calibration_error(answers) == pytest.approx(calibration_reference(softmax(logits), truth), rel=1e-12)
    assert scaled_calibration_error(answers) == pytest.approx(calibration_reference(softmax(logits / 3), truth), rel=1e-12)


def test_the_ends_of_bins_belong_to_the_lower_one() -> None:
    found = reliability(np.array([True, False, True]), np.array([0.5, 0.5 + 1e-12, 1.0]), bins=2)
    assert found.counts.tolist() == [1, 2]
    assert found.accuracy.tolist() == [1.0, 0.5]
    np.testing.assert_allclose(found.error, 0.5 / 3 + 2 / 3 * 0.25)


@pytest.mark.parametrize("seed", range(3))
def test_risks_equal_plain_loops_and_ties_have_no_order(seed: int) -> None:
    logits, truth = drawn(seed, 40)
    answers = answers_of(logits, truth)
    right, confidence = answers.prediction == truth, softmax(logits).max(1)
    order = sorted(range(40), key=lambda row: -confidence[row])
    expected = [sum(not right[row] for row in order[:k]) / k for k in range(1, 41)]
    np.testing.assert_allclose(risk_coverage(right, confidence), expected, rtol=1e-12)
    assert area_under_risk_coverage(answers) == pytest.approx(np.mean(expected), rel=1e-12)
    tied = np.round(confidence, 1)
    shuffled = np.random.default_rng(seed).permutation(40)
    np.testing.assert_allclose(risk_coverage(right, tied), risk_coverage(right[shuffled], tied[shuffled]), rtol=1e-12)
    assert risk_coverage(np.array([True, False]), np.array([0.7, 0.7])).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("seed", range(4))
def test_the_temperature_has_the_lowest_validation_loss(seed: int) -> None:
    logits, truth = drawn(seed)
    found = fit_temperature(logits, truth)
    assert found is not None

    def loss(log_temperature: Any) -> float:
        return float(log_loss(truth, softmax(logits / np.exp(log_temperature)), labels=range(4)))

    expected: Any = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    np.testing.assert_allclose(found, np.exp(expected.x), rtol=1e-5)
    assert loss(np.log(found)) <= expected.fun + 1e-12
    np.testing.assert_array_equal((logits / found).argmax(1), logits.argmax(1))


def test_a_temperature_without_a_lowest_loss_stays_within_its_bounds() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(logits, np.array([0, 1])) == TEMPERATURES[0]
    assert fit_temperature(logits, np.array([1, 0])) == TEMPERATURES[1]
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, dtype=np.int64)) is None


def test_logs_of_tiny_probabilities_are_finite() -> None:
    logits = np.array([[0.0, -2000.0], [3.0, 1.0]])
    np.testing.assert_allclose(np.exp(log_softmax(logits)), softmax(logits))
    assert log_softmax(logits)[0, 1] == -2000
    assert np.isfinite(log_mixture(np.stack([logits, logits]), [0.5, 0.5])).all()


@pytest.mark.parametrize("seed", range(3))
def test_weights_have_the_lowest_validation_loss(seed: int) -> None:
    truth = drawn(seed)[1]
    random = np.random.default_rng(seed)
    logits = np.stack([random.normal(size=(300, 4)) + strength * np.eye(4)[truth] for strength in (0.2, 1.5, 1.0)])
    found = np.array(mixture_weights(logits, truth))
    shares = np.array([softmax(each) for each in logits])

    def loss(weights: np.ndarray) -> float:
        return float(-np.log((weights[:, None, None] * shares).sum(0)[np.arange(300), truth]).mean())

    simplex = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    expected = minimize(loss, [1 / 3] * 3, bounds=[(0, 1)] * 3, constraints=simplex, options={"ftol": 1e-14})
    assert abs(loss(found) - expected.fun) < 1e-8
    assert loss(found) < loss(np.full(3, 1 / 3)) - 1e-3
    np.testing.assert_allclose(found, expected.x, atol=1e-3)
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(softmax(log_mixture(logits, found.tolist())), (found[:, None, None] * shares).sum(0), rtol=1e-12)
    np.testing.assert_allclose(log_mixture(logits, [0, 1, 0]), log_softmax(logits[1]), atol=1e-14)


def test_measures_of_answers_are_summarised_as_the_others() -> None:
    runs = []
    for fold in ("1", "2"):
        for seed in (0, 1):
            logits, truth = drawn(10 * int(fold) + seed, 60)
            runs.append(RunPredictions(fold=fold, seed=seed, styles=("",) * 60, **vars(answers_of(logits, truth))))
    measures = summarise(runs, "abcd").all.measures
    for name, function in (
        ("ece", calibration_error),
        ("ece_scaled", scaled_calibration_error),
        ("aurc", area_under_risk_coverage),
    ):
        each = [value for run in runs if (value := function(run)) is not None]
        assert measures[name].mean_of_folds == pytest.approx(np.mean(each))
    joined = [np.concatenate([run.probabilities for run in runs if run.seed == seed]) for seed in (0, 1)]
    truths = [np.concatenate([run.truth for run in runs if run.seed == seed]) for seed in (0, 1)]
    expected = [calibration_reference(*each) for each in zip(joined, truths, strict=True)]
    assert measures["ece"].merged == pytest.approx(np.mean(expected))
    only = [RunPredictions(fold=r.fold, seed=r.seed, styles=r.styles, truth=r.truth, prediction=r.prediction) for r in runs]
    assert "ece" not in summarise(only, "abcd").all.measures
    assert summarise(only, "abcd").all.measures["ua"] == measures["ua"]


def test_nobody_has_no_calibration() -> None:
    with pytest.raises(ProtocolError, match="no utterances"):
        reliability(np.zeros(0, dtype=np.bool_), np.zeros(0))
