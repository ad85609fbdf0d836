"""Several opinions as one: the weighted mean of their probabilities, and the weights that a validation part chooses."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from mer.protocol.calibration import log_softmax

ROUNDS, SETTLED = 20_000, 1e-10
"""Most rounds of the search for weights, and the largest change of a weight at which it ends."""

Logits = Float64[np.ndarray, "parts utterances classes"]


def log_mixture(logits: Logits, weights: Sequence[float]) -> Float64[np.ndarray, "utterances classes"]:
    """Log sum_k w_k softmax(logits_k): logits whose softmax is the weighted mean of the probabilities, and always finite.

    Args:
        logits: of each part.
        weights: one per part, at least 0, adding up to 1.
    """
    used = [place for place, weight in enumerate(weights) if weight > 0]
    shares = np.log(np.array([weights[place] for place in used]))[:, None, None]
    mixed: NDArray[np.float64] = np.logaddexp.reduce(log_softmax(logits[used]) + shares, axis=0)
    return mixed


def mixture_weights(logits: Logits, truth: Int64[np.ndarray, " utterances"]) -> list[float]:
    """The weights of the lowest mean -log sum_k w_k p_k(truth), with w_k >= 0 and sum w_k = 1.

    That loss is convex in the weights. They are found by expectation maximisation (Dempster, Laird and Rubin 1977), which
    starts from equal weights and never gets worse: w_k <- mean over utterances of w_k p_k / sum_j w_j p_j.

    Args:
        logits: of each part about the validation utterances, never about test utterances.
        truth: class number of at least one utterance.
    """
    own = np.take_along_axis(log_softmax(logits), truth[None, :, None], 2)[..., 0]
    likelihood = np.exp(own - own.max(0))
    weights = np.full(len(logits), 1 / len(logits))
    for _ in range(ROUNDS):
        joint = weights[:, None] * likelihood
        found = (joint / joint.sum(0)).mean(1)
        moved = np.abs(found - weights).max()
        weights = found / found.sum()
        if moved < SETTLED:
            break
    kept: list[float] = weights.tolist()
    return kept
