"""Mean and standard deviation of the training features, for many runs in one pass over the cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mer.heads.errors import HeadError
from mer.heads.features.feature_source import as_tensors
from mer.heads.features.features import PackedFeatures

STD_FLOOR = 1e-6
"""A dimension whose deviation is below this share of its mean (or of 1) is constant up to rounding: it is
only centred, not scaled, so that noise is not blown up and unseen values stay finite."""

BLOCK_UNITS = 32
"""Units that are converted to float64 at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """What normalisation subtracts and divides by, per layer and dimension."""

    mean: Float[Tensor, "*runs layers dim"]
    """Mean over the units of the training part, or of a speaker."""
    std: Float[Tensor, "*runs layers dim"]
    """Population standard deviation (ddof 0) over the same units; 1 where the dimension is constant."""

    def to(self, device: torch.device) -> "Statistics":
        """The same numbers on another device."""
        return Statistics(mean=self.mean.to(device), std=self.std.to(device))


class RunningStatistics:
    """Statistics of utterances that come one after the other, accumulated in float64.

    Each utterance is reduced to its own mean and sum of squared deviations, and these are merged (Chan, Golub and LeVeque
    1983, eq. 2.1), which does not cancel however large the mean is.
    """

    def __init__(self, layers: int, dim: int) -> None:
        """No utterance has come yet."""
        self.utterances = 0
        """How many have come."""
        self._units = 0.0
        self._mean = torch.zeros(layers, dim, dtype=torch.float64)
        self._squares = torch.zeros_like(self._mean)

    def add(self, units: Float[Tensor, "units layers dim"]) -> None:
        """Take in an utterance of at least one unit."""
        self.merge(len(units), *moments(units))

    def merge(self, size: int, mean: Float[Tensor, "layers dim"], squares: Float[Tensor, "layers dim"]) -> None:
        """Take in an utterance of `size` units by its moments."""
        total = self._units + size
        delta = mean - self._mean
        self._mean.add_(delta, alpha=size / total)
        self._squares.add_(squares).addcmul_(delta, delta, value=self._units * size / total)
        self._units, self.utterances = total, self.utterances + 1

    def result(self) -> Statistics:
        """Statistics of all that has come, at least one utterance."""
        std = (self._squares / self._units).sqrt()
        constant = std <= STD_FLOOR * self._mean.abs().clamp(min=1)
        return Statistics(mean=self._mean.float(), std=torch.where(constant, 1.0, std).float())


def training_statistics(
    packed: PackedFeatures,
    membership: Bool[np.ndarray, "runs utterances"],
    *,
    release: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Statistics, ...]:
    """Statistics of each run's training utterances, accumulated in float64; others are never read for it.

    An utterance is read once for all runs. The result of a run does not depend on which other runs are asked for, not
    even in the last bit.

    Args:
        packed: one granularity of the utterances.
        membership: which utterances each run trains on.
        release: drop the pages of an utterance once it is read, for a cache larger than memory.
        progress: called with utterances done and in all.

    Raises:
        HeadError: a run without training utterances, or a wrong number of utterances.
    """
    runs, utterances = membership.shape
    if utterances != len(packed.lengths):
        raise HeadError(f"membership has {utterances} utterances, the features have {len(packed.lengths)}")
    empty = np.flatnonzero(~membership.any(1))
    if len(empty):
        raise HeadError(f"run {empty[0]} has no training utterances to take statistics from")
    running = [RunningStatistics(packed.layers, packed.dim) for _ in range(runs)]
    wanted = np.flatnonzero(membership.any(0)).tolist()
    for done, row in enumerate(wanted, start=1):
        (units,) = as_tensors(packed.views([row]))
        size, (mean, squares) = len(units), moments(units)
        for run in np.flatnonzero(membership[:, row]).tolist():
            running[run].merge(size, mean, squares)
        if release:
            packed.release([row])
        if progress is not None:
            progress(done, len(wanted))
    return tuple(each.result() for each in running)


def moments(units: Float[Tensor, "units layers dim"]) -> tuple[Float[Tensor, "layers dim"], Float[Tensor, "layers dim"]]:
    """Mean and sum of squared deviations of one utterance, from sums shifted by its first unit."""
    shift = units[0].double()
    first, second = torch.zeros_like(shift), torch.zeros_like(shift)
    for block in torch.split(units, BLOCK_UNITS):
        deviation = block.double() - shift
        first += deviation.sum(0)
        second += deviation.square_().sum(0)
    return shift + first / len(units), (second - first.square() / len(units)).clamp_(min=0)


def membership_of(rows: Sequence[np.ndarray], utterances: int) -> Bool[np.ndarray, "runs utterances"]:
    """The membership matrix of the given training rows, one run each."""
    matrix = np.zeros((len(rows), utterances), dtype=np.bool_)
    for run, members in enumerate(rows):
        matrix[run, members] = True
    return matrix
