"""Whether a probability says how often an answer is right, and one number that makes it say so: all in float64."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from mer.protocol.answers import Answers
from mer.protocol.errors import ProtocolError

BINS = 15
"""Bins of equal width of the calibration error, as in Guo et al. 2017, section 4."""
TEMPERATURES = (0.05, 20.0)
"""Lowest and highest temperature: where all validation utterances are right there is no lowest loss above 0."""

Probabilities = Float64[np.ndarray, "utterances classes"]


def softmax(logits: Float64[np.ndarray, "*rows classes"]) -> Float64[np.ndarray, "*rows classes"]:
    """Probabilities of each row of logits."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(-1, keepdims=True)
    return shares


def log_softmax(logits: Float64[np.ndarray, "*rows classes"]) -> Float64[np.ndarray, "*rows classes"]:
    """Logarithms of the probabilities, finite also where a probability is below the smallest float."""
    shifted = logits - logits.max(-1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logs


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Utterances by how sure the answer was; bin b of B holds confidences in (b / B, (b + 1) / B]."""

    counts: Int64[np.ndarray, " bins"]
    """Utterances of each bin."""
    confidence: Float64[np.ndarray, " bins"]
    """Mean probability of the predicted class; 0 of an empty bin."""
    accuracy: Float64[np.ndarray, " bins"]
    """Share that is right; 0 of an empty bin."""

    @property
    def error(self) -> float:
        """Expected calibration error: sum over bins of n_b / n |accuracy_b - confidence_b| (Guo et al. 2017, eq. 3)."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.counts * gaps).sum() / self.counts.sum())


def reliability(right: NDArray[np.bool_], confidence: Float64[np.ndarray, " utterances"], bins: int = BINS) -> Reliability:
    """Sort answers into bins by their confidence.

    Args:
        right: whether each answer is.
        confidence: probability of each answer, in [0, 1].
        bins: of equal width.

    Raises:
        ProtocolError: there are no utterances.
    """
    if not len(right):
        raise ProtocolError("there are no utterances to score")
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    return Reliability(
        counts=counts.astype(np.int64),
        confidence=np.bincount(place, weights=confidence, minlength=bins) / filled,
        accuracy=np.bincount(place, weights=right.astype(np.float64), minlength=bins) / filled,
    )


def calibration_error(answers: Answers) -> float | None:
    """Expected calibration error of the probabilities as they are; None where none are known."""
    return _error(answers, answers.probabilities)


def scaled_calibration_error(answers: Answers) -> float | None:
    """Expected calibration error at the temperature of the validation part; None where there is none."""
    return _error(answers, answers.scaled)


def _error(answers: Answers, probabilities: Probabilities | None) -> float | None:
    right = answers.prediction == answers.truth
    return None if probabilities is None else reliability(right, probabilities.max(1, initial=0.0)).error


def risk_coverage(right: NDArray[np.bool_], confidence: Float64[np.ndarray, " utterances"]) -> Float64[np.ndarray, " utterances"]:
    """Share of wrong answers among the k surest ones, for k = 1 ... n (El-Yaniv and Wiener 2010).

    Answers of equal confidence have no order: each of them counts as their mean.

    Raises:
        ProtocolError: there are no utterances.
    """
    if not len(right):
        raise ProtocolError("there are no utterances to score")
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.bincount(group, weights=~right) / sizes
    risks: NDArray[np.float64] = np.cumsum(np.repeat(wrong, sizes)) / np.arange(1, len(right) + 1)
    return risks


def area_under_risk_coverage(answers: Answers) -> float | None:
    """AURC: mean over k of the risk of the k surest answers (Geifman et al. 2019, section 2); None without probabilities."""
    if answers.probabilities is None:
        return None
    return float(risk_coverage(answers.prediction == answers.truth, answers.probabilities.max(1, initial=0.0)).mean())


def fit_temperature(logits: Float64[np.ndarray, "utterances classes"], truth: Int64[np.ndarray, " utterances"]) -> float | None:
    """The temperature T of the lowest mean -log softmax(logits / T) of the truth (Guo et al. 2017, section 4.2).

    In 1 / T that loss is convex, so that its slope sum(E_p[z] - z_truth) is zero once at most, and the zero is found to the last
    digits. T stays within `TEMPERATURES`. It changes no prediction.

    Args:
        logits: of the validation part, never of the test part.
        truth: class numbers.

    Returns:
        None where nobody was held out.
    """
    # scipy's optimisers load slowly, and every report needs this module.
    from scipy.optimize import brentq

    if not len(truth):
        return None
    own = np.take_along_axis(logits, truth[:, None], 1)[:, 0]

    def slope(cold: float) -> float:
        return float(((softmax(cold * logits) * logits).sum(1) - own).sum())

    ends = [1 / each for each in reversed(TEMPERATURES)]
    if slope(ends[0]) >= 0:
        return TEMPERATURES[1]
    if slope(ends[1]) <= 0:
        return TEMPERATURES[0]
    found: Any = brentq(slope, ends[0], ends[1], xtol=1e-14)
    return 1 / float(found)
