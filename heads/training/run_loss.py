"""The loss of a run, whether it learns classes or ratings, and what its outputs are."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from mer.heads.config import HeadConfig
from mer.heads.emotion_loss import EmotionLoss, emotion_loss, losses
from mer.heads.errors import DivergedError
from mer.heads.features.step import Step
from mer.heads.rating_loss import RatingLoss, rating_loss
from mer.heads.training.device_stack import summed_losses

RunLoss = EmotionLoss | RatingLoss


def run_loss(
    config: HeadConfig, truth: np.ndarray, train: Int64[np.ndarray, " train"], classes: int, device: torch.device
) -> RunLoss:
    """The loss of a run.

    Args:
        config: of the head.
        truth: of every row: its class number, shares of the classes, or ratings.
        train: rows that the run is trained on.
        classes: number of classes.
        device: where it is computed.
    """
    if config.dimensions:
        return rating_loss(config.rating_loss, truth, train, config.dimensions, device)
    return emotion_loss(config, truth, train, classes, device)


def losses_of(runs: Sequence[RunLoss], step: Step, logits: Tensor) -> Float[Tensor, " utterances"]:
    """The loss of every utterance of a step, each by its own run."""
    if isinstance(runs[0], RatingLoss):
        parts = zip(runs, step.rows, torch.split(logits, [len(rows) for rows in step.rows]), strict=True)
        return torch.cat([loss.each(rows, part) for loss, rows, part in parts if len(rows)])
    own = [(loss, len(rows)) for loss, rows in zip(runs, step.rows, strict=True) if isinstance(loss, EmotionLoss)]
    truth = own[0][0].truth[torch.from_numpy(np.concatenate(step.rows)).to(logits.device)]
    weights = [loss.weights.expand(count, -1) for loss, count in own if loss.weights is not None]
    return losses(logits, truth, weights=torch.cat(weights) if weights else None, gamma=own[0][0].gamma)


def totals_of(runs: Sequence[RunLoss], step: Step, logits: Tensor) -> tuple[Float[Tensor, ""], Float[Tensor, " runs"]]:
    """What is lowered for all runs of a stack at once, and the summed loss of each."""
    return summed_losses(losses_of(runs, step, logits), [len(rows) for rows in step.rows])


def answers_of(loss: RunLoss, outputs: Tensor) -> Float64[Tensor, "utterances classes"]:
    """Logits, or ratings in the corpus' unit, in float64 on the CPU."""
    return torch.from_numpy(loss.ratings(outputs)) if isinstance(loss, RatingLoss) else outputs.double().cpu()


def check_copies(parameter: str | None, name: str) -> None:
    """Products of an epoch took every weight as it is.

    Args:
        parameter: one that they did not, see `DeviceStack.beyond_copies`.
        name: of the run and epoch, for the error.

    Raises:
        DivergedError: there is one.
    """
    if parameter is not None:
        raise DivergedError(
            f"{name}: a weight of {parameter} is beyond what products in this precision read of it (65504 in TF32): "
            "use a smaller --learning-rate, or --precision float32 or bfloat16"
        )


def mean_loss(losses: Sequence[Tensor], name: str, utterances: int) -> float:
    """Mean over the utterances of an epoch; looked at once per epoch, as on a GPU every look waits for the device.

    Args:
        losses: the summed loss of each step.
        name: of the run and epoch, for the error.
        utterances: of the epoch.

    Raises:
        DivergedError: a loss that is no number.
    """
    values = torch.stack(list(losses)).double().cpu()
    finite = values.isfinite()
    if not finite.all():
        step = int(finite.int().argmin()) + 1
        raise DivergedError(f"{name}, step {step}: the loss is {float(values[step - 1])}")
    return float(values.sum()) / utterances
