"""Confusion, recalls, unweighted and weighted accuracy of one set of predictions, in float64."""

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from mer.protocol.errors import ProtocolError

Labels = NDArray[np.int64]

ROUNDING = 1e-12
"""Differences below this are none: sums of fractions are not exact, and no real one is smaller than 1 / utterances."""


def confusion(truth: Labels, prediction: Labels, classes: int) -> Int64[np.ndarray, "classes classes"]:
    """How many utterances of each class (row) were given each class (column).

    Raises:
        ProtocolError: the two differ in length, or a number is not in [0, classes).
    """
    if len(truth) != len(prediction):
        raise ProtocolError(f"{len(truth)} labels but {len(prediction)} predictions")
    for name, values in (("label", truth), ("prediction", prediction)):
        if len(values) and (values.min() < 0 or values.max() >= classes):
            raise ProtocolError(f"a {name} lies outside 0..{classes - 1}: {values.min()}..{values.max()}")
    return np.bincount(truth * classes + prediction, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


def recalls(matrix: Int64[np.ndarray, "classes classes"]) -> Float64[np.ndarray, " classes"]:
    """Share of each class that was found; NaN for a class that the truth does not hold."""
    total = matrix.sum(1)
    found = np.diagonal(matrix).astype(np.float64)
    shares: NDArray[np.float64] = np.divide(found, total, out=np.full(len(total), np.nan), where=total > 0)
    return shares


def unweighted_accuracy(matrix: Int64[np.ndarray, "classes classes"]) -> float:
    """UA: the mean of the class recalls; a class that the truth does not hold is left out.

    Raises:
        ProtocolError: there are no utterances.
    """
    _check_filled(matrix)
    return float(np.nanmean(recalls(matrix)))


def weighted_accuracy(matrix: Int64[np.ndarray, "classes classes"]) -> float:
    """WA: plain accuracy, the share of utterances that are right.

    Raises:
        ProtocolError: there are no utterances.
    """
    _check_filled(matrix)
    return float(np.trace(matrix) / matrix.sum())


def _check_filled(matrix: Int64[np.ndarray, "classes classes"]) -> None:
    if matrix.sum() == 0:
        raise ProtocolError("there are no utterances to score")
