"""Encoded sequences of a batch, padded, and which of their units are real."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """One modality of a batch."""

    states: Float[Tensor, "utterances units dim"]
    """Output of the encoder or of a fusion layer; anything beyond an utterance's own units."""
    real: Bool[Tensor, "utterances units"] | None
    """True for an utterance's own units; None where nothing is padded."""

    def pick(self, utterances: Int64[Tensor, " picked"]) -> "Sequences":
        """The sequences of these utterances, in this order."""
        real = None if self.real is None else self.real.index_select(0, utterances)
        return Sequences(states=self.states.index_select(0, utterances), real=real)

    def means(self) -> Float[Tensor, "utterances dim"]:
        """Mean over each utterance's own units."""
        if self.real is None:
            return self.states.mean(1)
        own = self.real[:, :, None]
        # A product with zero would let a NaN in the padding through.
        return self.states.where(own, 0.0).sum(1) / own.sum(1)


def real_units(counts: tuple[int, ...], longest: int, device: torch.device) -> Bool[Tensor, "utterances units"] | None:
    """Which units of a padded batch are real; None when all are.

    Args:
        counts: own units of each utterance.
        longest: units that the batch is padded to.
        device: where the answer lies.
    """
    if all(count == longest for count in counts):
        return None
    return torch.arange(longest, device=device) < torch.tensor(counts, device=device)[:, None]
