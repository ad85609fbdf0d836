"""How much each class counts in the loss, from how many training utterances it has."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

BETA = 0.999
"""Beta of the effective number: the middle of the values that Cui et al. (2019) try."""


def class_weights(kind: str, counts: NDArray[np.float64]) -> Float64[np.ndarray, " classes"] | None:
    """The weight of each class; None for `none`.

    `balanced`: N / (C n_c), so that the mean over the N training utterances is 1. `effective`: 1 / E_c with the effective number
    E_c = (1 - beta^n_c) / (1 - beta), scaled to the sum C (Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of
    Samples", eq. 2 and section 4.1): between `balanced` (beta to 1) and none (beta 0).

    Args:
        kind: `none`, `balanced` or `effective`.
        counts: n_c, training utterances of each class, soft labels counted by their shares. A class without any gets 0.
    """
    if kind == "none":
        return None
    amounts = counts if kind == "balanced" else (1 - BETA**counts) / (1 - BETA)
    inverse: NDArray[np.float64] = np.divide(1.0, amounts, out=np.zeros(len(counts)), where=counts > 0)
    scale = counts.sum() / len(counts) if kind == "balanced" else len(counts) / inverse.sum()
    weights: NDArray[np.float64] = inverse * scale
    return weights
