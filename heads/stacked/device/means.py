"""The mean over the units of each utterance of a stack, of units that are kept without their gain and bias."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor

from mer.heads.stacked.device.norm import normalise
from mer.heads.stacked.device.normed import Affine, Normed, parts_of
from mer.heads.stacked.device.run_rows import RunRows


def stacked_mean(values: Normed, lengths: Int64[Tensor, " utterances"], utterances: RunRows) -> Float[Tensor, "utterances dim"]:
    """The mean over the units of each utterance, in float32.

    Args:
        values: units of all utterances, one after the other.
        lengths: units of each, at least 1, on the CPU.
        utterances: of each run.
    """
    out: Tensor = _Mean.apply(*parts_of(values), lengths, utterances)  # type: ignore[no-untyped-call]
    return out


class _Mean(torch.autograd.Function):
    """Gain and bias are given to the means, which are fewer."""

    @staticmethod
    def forward(ctx: Any, link: Tensor, values: Tensor, affine: Affine, lengths: Tensor, utterances: RunRows) -> Tensor:
        ctx.units, ctx.lengths, ctx.dtype = len(values), lengths, link.dtype
        return mean_of(values, affine, lengths, utterances)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        shares, owners = shares_of(gradients[0], ctx.lengths, ctx.units)
        return shares.to(ctx.dtype).index_select(0, owners), None, None, None, None


def mean_of(
    values: Float[Tensor, "units dim"], affine: Affine, lengths: Int64[Tensor, " utterances"], utterances: RunRows
) -> Float[Tensor, "utterances dim"]:
    """What `stacked_mean` gives of values with this gain and bias."""
    units, starts = torch.arange(len(values), device=values.device), (lengths.cumsum(0) - lengths).to(values.device)
    means = F.embedding_bag(units, values, starts, mode="mean")
    return normalise(means, affine, utterances, norm=False, dtype=torch.float32).values


def shares_of(
    gradient: Float[Tensor, "utterances dim"], lengths: Int64[Tensor, " utterances"], units: int
) -> tuple[Float[Tensor, "utterances dim"], Int64[Tensor, " units"]]:
    """What each unit of an utterance owes to the gradient of their mean, and the utterance of each unit.

    Args:
        gradient: of the means.
        lengths: units of each utterance, on the CPU.
        units: of all utterances.
    """
    own = lengths.to(gradient.device)
    return gradient / own[:, None].to(gradient.dtype), torch.repeat_interleave(own, output_size=units)
