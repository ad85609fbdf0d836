"""Encoded sequences of a batch, padded, and which of their units are real."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """One modality of a batch."""

    states: Float[Tensor, "utterances units dim"]
    """Output of the encoder or of a fusion layer; anything beyond an utterance's own units."""
    real: Bool[Tensor, "utterances units"] | None
    """True for an utterance's own units; None where nothing is padded."""

    def mask(self) -> Bool[Tensor, "utterances units"]:
        """`real`, where nothing is padded, too."""
        return torch.ones(self.states.shape[:2], dtype=torch.bool, device=self.states.device) if self.real is None else self.real

    def part(self, utterances: slice) -> "Sequences":
        """The sequences of neighbouring utterances."""
        return Sequences(states=self.states[utterances], real=None if self.real is None else self.real[utterances])

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


def stacked(parts: Sequence[Sequences]) -> Sequences:
    """Batches one after the other, padded to the longest."""
    longest = max(part.states.shape[1] for part in parts)
    states = [F.pad(part.states, (0, 0, 0, longest - part.states.shape[1])) for part in parts]
    real = [F.pad(part.mask(), (0, longest - part.states.shape[1])) for part in parts]
    return Sequences(states=torch.cat(states), real=torch.cat(real))


def real_units(counts: tuple[int, ...], longest: int, device: torch.device) -> Bool[Tensor, "utterances units"] | None:
    """Which units of a padded batch are real; None when all are.

    Args:
        counts: own units of each utterance.
        longest: units that the batch is padded to.
        device: where the answer lies.
    """
    if all(count == longest for count in counts):
        return None
    # A small copy that nobody waits for: a GPU may be far behind.
    own = torch.tensor(counts).to(device, non_blocking=True)
    return torch.arange(longest, device=device) < own[:, None]
