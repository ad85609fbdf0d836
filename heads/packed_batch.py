"""Units of a few utterances, one after the other, without padding."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedBatch:
    """Stored activations of one granularity for the utterances of a batch, in order."""

    units: tuple[Float[Tensor, "_ layers dim"], ...]
    """Consecutive pieces in storage precision; on a CPU one view of the cache per utterance, on a GPU one
    tensor."""
    lengths: Int64[Tensor, " utterances"]
    """Units per utterance, each at least 1; their sum is the number of units in all pieces."""

    @property
    def total(self) -> int:
        """Units of all utterances."""
        return sum(len(piece) for piece in self.units)


def segment_mean(
    values: Float[Tensor, "units hidden"], lengths: Int64[Tensor, " utterances"]
) -> Float[Tensor, "utterances hidden"]:
    """Mean over the units of each utterance (Zhao 2022, eq. 2: sum over k, divided by the sequence length).

    A product with a matrix that holds 1 / length at an utterance's own units: unlike a scattered addition it
    gives the same bits on every call on a GPU.

    Args:
        values: units of all utterances, one utterance after the other.
        lengths: units per utterance, at least 1; their sum is the number of units.
    """
    utterances, units = len(lengths), len(values)
    owner = torch.repeat_interleave(torch.arange(utterances, device=values.device), lengths, output_size=units)
    share = lengths.to(values.dtype).reciprocal()[owner]
    pooling = values.new_zeros(utterances, units)
    pooling[owner, torch.arange(units, device=values.device)] = share
    return pooling @ values
