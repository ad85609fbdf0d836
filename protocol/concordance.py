"""Scoring ratings: the concordance correlation coefficient of each dimension, and one summary of many runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from mer.protocol.dimensions import DIMENSIONS
from mer.protocol.errors import ProtocolError


def concordance(truth: NDArray[np.float64], said: NDArray[np.float64]) -> float:
    """CCC = 2 cov / (var_t + var_s + (mean_t - mean_s)^2) with population moments, 1/n (Lin 1989, eq. 1 and the estimate below).

    0 where both are constant, equal or not: nothing varies together.

    Args:
        truth: (utterances,) what raters said.
        said: (utterances,) what was predicted, in the same unit.

    Raises:
        ProtocolError: there are no utterances, or numbers that are none.
    """
    if not len(truth) or len(truth) != len(said):
        raise ProtocolError(f"{len(truth)} ratings and {len(said)} predictions: there must be as many of both, at least one")
    if not (np.isfinite(truth).all() and np.isfinite(said).all()):
        raise ProtocolError("a rating or a prediction is no finite number")
    one, two = truth - truth.mean(), said - said.mean()
    apart = (one**2).mean() + (two**2).mean() + (truth.mean() - said.mean()) ** 2
    return float(2 * (one * two).mean() / apart) if apart > 0 else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class RatedRun:
    """What one run said about the ratings of the test utterances of its fold."""

    fold: str
    """The session that was left out."""
    seed: int
    """The run's seed."""
    dimensions: tuple[str, ...]
    """Names of the columns, some of `DIMENSIONS`."""
    truth: Float64[np.ndarray, "utterances dimensions"]
    """Ratings in the corpus' own unit."""
    said: Float64[np.ndarray, "utterances dimensions"]
    """Predictions in the same unit."""
    styles: tuple[str, ...]
    """`improvised`, `scripted` or empty, one per utterance."""

    def of_style(self, style: str) -> "RatedRun":
        """The utterances of one style."""
        chosen = np.array([each == style for each in self.styles], dtype=np.bool_)
        return replace(self, truth=self.truth[chosen], said=self.said[chosen], styles=(style,) * int(chosen.sum()))


def joined(runs: Sequence[RatedRun]) -> RatedRun:
    """Folds of one seed as one."""
    styles = tuple(style for run in runs for style in run.styles)
    both: dict[str, Any] = {name: np.concatenate([getattr(run, name) for run in runs]) for name in ("truth", "said")}
    return replace(runs[0], styles=styles, **both)


def dimension_ccc(run: RatedRun, dimension: str) -> float | None:
    """CCC of one dimension; None where it was not predicted."""
    if dimension not in run.dimensions:
        return None
    column = run.dimensions.index(dimension)
    return concordance(run.truth[:, column], run.said[:, column])


def mean_ccc(run: RatedRun) -> float:
    """Mean of the CCC of the dimensions that were predicted."""
    found = [dimension_ccc(run, name) for name in DIMENSIONS]
    return float(np.mean([each for each in found if each is not None]))
