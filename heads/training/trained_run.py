"""What is kept of a run."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from mer.heads.errors import DivergedError
from mer.heads.fusion.head import Head
from mer.heads.training.device_stack import Slot
from mer.protocol.concordance import concordance


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One line of `metrics.jsonl`, less the fold and the seed."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean loss of the training utterances as they were visited, with dropout."""
    validation_loss: float
    """Mean loss of the validation utterances; what early stopping looks at."""
    validation_ua: float
    """Unweighted accuracy of the validation utterances."""
    validation_wa: float
    """Weighted accuracy of the validation utterances."""


@dataclass(frozen=True, kw_only=True)
class RatedEpoch:
    """The same of a head that predicts ratings."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean loss of the steps, weighted by their utterances, with dropout."""
    validation_loss: float
    """1 - `validation_ccc`; what early stopping looks at."""
    validation_ccc: float
    """Mean CCC of the dimensions over the validation utterances."""

    @property
    def validation_ua(self) -> None:
        """There are no classes."""


AnyEpoch = Epoch | RatedEpoch


def rated_epoch(
    number: int,
    train_loss: float,
    truth: Float64[np.ndarray, "utterances dimensions"],
    said: Float64[np.ndarray, "utterances dimensions"],
    name: str,
) -> RatedEpoch:
    """What is kept of an epoch; raises DivergedError where predictions are no numbers."""
    if not np.isfinite(said).all():
        raise DivergedError(f"{name}: predictions of validation utterances are no numbers")
    ccc = float(np.mean([concordance(truth[:, each], said[:, each]) for each in range(truth.shape[1])]))
    return RatedEpoch(epoch=number, train_loss=train_loss, validation_loss=1 - ccc, validation_ccc=ccc)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRun:
    """What is kept of a run."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    epochs: tuple[AnyEpoch, ...]
    """All epochs that were trained."""
    best_epoch: int
    """The epoch with the lowest validation loss; the first of equals."""
    weights: dict[str, Tensor]
    """Parameters after `best_epoch`, on the CPU."""
    logits: Float[np.ndarray, "utterances classes"]
    """Logits of the test utterances, or their ratings in the corpus' unit, in float64, in the order of `Fold.test`."""
    validation_logits: Float[np.ndarray, "held_out classes"]
    """The same of the validation utterances, in the order of `Fold.validation`."""
    layer_shares: dict[str, list[float]]
    """Granularity to the learned proportions of the layers."""
    seconds: float
    """Wall time, shared equally among the runs that were trained at the same time."""
    scale: tuple[Float64[np.ndarray, " dimensions"], Float64[np.ndarray, " dimensions"]] | None = None
    """Mean and deviation of the training ratings, which make ratings of a head's outputs; None of emotions."""


class EarlyStopping:
    """Keeps the weights of the epoch with the lowest validation loss, and says when to stop.

    Only a strictly lower loss counts; training stops after `patience` epochs in a row without one.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._lowest = math.inf
        self._waited = 0
        self.best_epoch = 0
        self.weights: dict[str, Tensor] = {}

    def should_stop(self, epoch: int, loss: float, head: Head | Slot) -> bool:
        """Take note of an epoch; True when training should end."""
        if loss < self._lowest:
            self._lowest, self._waited, self.best_epoch = loss, 0, epoch
            self.weights = {name: value.detach().clone() for name, value in head.state_dict().items()}
        else:
            self._waited += 1
        return self._waited >= self._patience
