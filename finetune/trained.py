"""What is kept of a fine-tuned run, and which epoch's weights are tested."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class FinetuneEpoch:
    """One epoch of one run."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean over the training utterances of what was minimised, all tasks together, with dropout."""
    main_loss: float
    """Mean cross-entropy of the emotion."""
    aux1_loss: float | None
    """Mean cross-entropy of the re-paired utterances (Sun 2023, section 2.4); None without task 1."""
    aux2_loss: float | None
    """Mean cross-entropy over the pairs of one emotion; None without task 2, or without a pair."""
    lonely_share: float | None
    """Share of the utterances without a partner for task 2; None without task 2."""
    unchanged_share: float | None
    """Share of task 1's pairs whose audio and text are of one utterance; None without task 1."""
    same_class_share: float | None
    """Share of task 1's pairs whose audio and text are of one class, the unchanged included; None without task 1."""
    validation_loss: float | None
    """Mean cross-entropy over the validation utterances; what chooses the epoch. None without a validation part."""
    validation_ua: float | None
    """Unweighted accuracy of the validation utterances; None without any."""
    validation_wa: float | None
    """Weighted accuracy of the validation utterances; None without any."""
    seconds: float
    """Wall time of training and validation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A run that is over; the model that was trained holds the weights that were tested."""

    fold: str
    """Test session."""
    seed: int
    """Seed of the run."""
    epochs: tuple[FinetuneEpoch, ...]
    """All epochs, those before a resume included."""
    best_epoch: int
    """The epoch whose weights were tested."""
    logits: Float[np.ndarray, "utterances classes"]
    """Logits of the test utterances in float64, in the order of `Fold.test`."""
    validation_logits: Float[np.ndarray, "held_out classes"]
    """The same of the validation utterances, in the order of `Fold.validation`; no rows without any."""
    cut: Mapping[str, int]
    """Utterances that were cut at `max_seconds`, of `train`, `validation` and `test`."""
    precision: str
    """`float32` or `bfloat16`, as `auto` was resolved."""
    processes: int
    """That trained together."""
    memory: int
    """Most bytes in use: allocated on the GPU, or held by the process on a CPU."""
    audio_per_second: float
    """Seconds of audio that were trained on in a second, by all processes, in this command; 0 if none was."""
    seconds: float
    """Wall time, that before a resume included."""


class BestWeights:
    """The weights that will be tested: of the epoch with the lowest validation loss, or of the last one.

    Only a strictly lower loss counts, so that of equal epochs the first is taken.
    """

    def __init__(self, rule: str) -> None:
        """Nothing is kept yet.

        Args:
            rule: `validation` or `last`.
        """
        self._rule = rule
        self.best_epoch = 0
        self.lowest: float | None = None
        """Its validation loss; None before there is one, and without a validation part."""
        self.weights: dict[str, Tensor] = {}

    def note(self, epoch: int, loss: float | None, model: nn.Module) -> None:
        """Look at the model after an epoch; its weights are copied to the CPU if they may be tested.

        Args:
            epoch: from 1.
            loss: of the validation part; None without one, which only `last` allows.
            model: as it is after the epoch.
        """
        if self._rule == "last":
            self.best_epoch, self.lowest = epoch, loss
        elif loss is not None and loss < (math.inf if self.lowest is None else self.lowest):
            self.best_epoch, self.lowest = epoch, loss
            self.weights = {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}

    def restore(self, best_epoch: int, lowest: float | None, weights: Mapping[str, Tensor]) -> None:
        """Go on from what a checkpoint holds."""
        self.best_epoch, self.weights = best_epoch, dict(weights)
        self.lowest = lowest

    def apply(self, model: nn.Module) -> None:
        """Put the weights that will be tested into the model; with `last` they are there."""
        if self.weights:
            model.load_state_dict(self.weights)
