"""What training lowers: cross-entropy, with a weight for each class, focal, or against a distribution over the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor

from mer.protocol.class_weights import class_weights

Truth = Int64[Tensor, " utterances"] | Float[Tensor, "utterances classes"]


def losses(
    logits: Float[Tensor, "utterances classes"],
    truth: Truth,
    *,
    weights: Float[Tensor, "utterances classes"] | Float[Tensor, " classes"] | None = None,
    gamma: float | None = None,
) -> Float[Tensor, " utterances"]:
    """sum_c q_c w_c (1 - p_c)^gamma (-log p_c) of each utterance, with p the softmax of its logits.

    With a class number as truth q is 1 for that class. Without weights and gamma it is PyTorch's cross-entropy, bit for bit.
    Focal: Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 4 and 5.

    Args:
        logits: of each utterance.
        truth: its class number, or q, its distribution over the classes.
        weights: w, of all or of each.
        gamma: of the focal loss; None leaves the factor out.
    """
    if truth.is_floating_point():
        truth = truth.to(logits.dtype)
    if weights is None and gamma is None:
        return F.cross_entropy(logits, truth, reduction="none")
    logs = F.log_softmax(logits, 1)
    each = -logs
    if gamma is not None:
        # At p = 1 the slope of x^gamma is infinite for gamma below 1.
        each = each * (-torch.expm1(logs)).clamp_min(torch.finfo(logs.dtype).eps) ** gamma
    if weights is not None:
        each = each * weights.to(each.dtype)
    return (each * truth).sum(1) if truth.is_floating_point() else each.gather(1, truth[:, None]).squeeze(1)


@runtime_checkable
class LossSettings(Protocol):
    """What decides the loss; `HeadConfig` and `FinetuneConfig` have it."""

    @property
    def class_weights(self) -> str:
        """How classes are weighted."""
        ...

    @property
    def loss(self) -> str:
        """`cross-entropy` or `focal`."""
        ...

    @property
    def focal_gamma(self) -> float:
        """Gamma of the focal loss."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class EmotionLoss:
    """The loss of one run: classes are weighted by its own training part. Means divide by utterances, not by weights."""

    truth: Truth
    """What is true of every row: class number, or distribution over the classes."""
    weights: Float[Tensor, " classes"] | None = None
    """Weight of each class."""
    gamma: float | None = None
    """Gamma of the focal loss."""

    @property
    def plain(self) -> bool:
        """Whether it is cross-entropy with class numbers, as in the papers."""
        return self.weights is None and self.gamma is None and not self.truth.is_floating_point()

    def each(self, rows: Sequence[int] | Int64[np.ndarray, " _"], logits: Float[Tensor, "utterances classes"]) -> Tensor:
        """The loss of each of some rows."""
        weights = None if self.weights is None else self.weights.to(logits.device)
        return losses(logits, self.truth[torch.as_tensor(rows)].to(logits.device), weights=weights, gamma=self.gamma)

    def mean(self, rows: Sequence[int] | Int64[np.ndarray, " _"], logits: Float[Tensor, "utterances classes"]) -> float:
        """The mean over some rows."""
        if self.plain:
            return float(F.cross_entropy(logits, self.truth[torch.as_tensor(rows)].to(logits.device)))
        each = self.each(rows, logits)
        if self.weights is not None or self.gamma is not None:
            return float(each.mean())
        # Summed in the order of the plain loss, so that shares of 1 give the same bits as class numbers.
        return float(F.nll_loss(-each[:, None], each.new_zeros(len(each), dtype=torch.int64)))


def emotion_loss(
    config: LossSettings, truth: np.ndarray, train: Int64[np.ndarray, " train"], classes: int, device: torch.device
) -> EmotionLoss:
    """The loss of a run.

    Args:
        config: which loss, and how classes are weighted.
        truth: of every row, a class number or shares of the classes.
        train: rows that the run is trained on; they alone decide the weights.
        classes: number of classes.
        device: where it is computed.
    """
    own = truth[train]
    counts = np.bincount(own, minlength=classes).astype(np.float64) if truth.ndim == 1 else own.sum(0, dtype=np.float64)
    weights = class_weights(config.class_weights, counts)
    return EmotionLoss(
        truth=torch.from_numpy(truth).to(device),
        weights=None if weights is None else torch.from_numpy(weights).to(device, torch.float32),
        gamma=config.focal_gamma if config.loss == "focal" else None,
    )
