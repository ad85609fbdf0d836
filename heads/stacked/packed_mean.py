"""The mean over the units of each utterance, of units that lie one utterance after the other."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor


def packed_mean(
    values: Float[Tensor, "units hidden"], lengths: Int64[Tensor, " utterances"]
) -> Float[Tensor, "utterances hidden"]:
    """Mean over the units of each utterance (Zhao 2022, eq. 2: sum over k, divided by the sequence length).

    Every unit is read once, forward, and written once, backward, whatever the number of utterances; neither
    direction adds in an order that could change between two calls on a GPU.

    Args:
        values: units of all utterances, one utterance after the other.
        lengths: units per utterance, at least 1, on the CPU; their sum is the number of units.
    """
    mean: Tensor = _PackedMean.apply(values, lengths)  # type: ignore[no-untyped-call]
    return mean


class _PackedMean(torch.autograd.Function):
    """One bag of consecutive rows per utterance: `embedding_bag` sums those without a scattered addition."""

    @staticmethod
    def forward(values: Tensor, lengths: Tensor) -> Tensor:
        rows = torch.arange(values.shape[0], device=values.device)
        starts = (lengths.cumsum(0) - lengths).to(values.device)
        return F.embedding_bag(rows, values, starts, mode="mean")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.units, ctx.lengths = inputs[0].shape[0], inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        lengths = ctx.lengths.to(gradient.device)
        owners = torch.repeat_interleave(lengths, output_size=ctx.units)
        return (gradient / lengths[:, None].to(gradient.dtype)).index_select(0, owners), None
