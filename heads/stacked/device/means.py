"""The mean over the units of each utterance of a stack, of units that are kept without their gain and bias."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor

from mer.heads.stacked.device.norm import normalise
from mer.heads.stacked.device.normed import Affine, Normed, parts_of
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.device.shared import Shared, room, sharing


def stacked_mean(values: Normed, lengths: Int64[Tensor, " utterances"], utterances: RunRows) -> Float[Tensor, "utterances dim"]:
    """The mean over the units of each utterance, in float32.

    Args:
        values: units of all utterances, one after the other.
        lengths: units of each, at least 1, on the CPU.
        utterances: of each run.
    """
    out: Tensor = _Mean.apply(*parts_of(values, flat=True), lengths, utterances)  # type: ignore[no-untyped-call]
    return out


class _Mean(torch.autograd.Function):
    """Gain and bias are given to the means, which are fewer."""

    @staticmethod
    def forward(ctx: Any, link: Tensor, values: Tensor, affine: Affine, lengths: Tensor, utterances: RunRows) -> Tensor:
        ctx.units, ctx.lengths, ctx.flat, ctx.dtype = len(values), lengths, link.ndim == 1, link.dtype
        units, starts = torch.arange(len(values), device=values.device), (lengths.cumsum(0) - lengths).to(values.device)
        means = F.embedding_bag(units, values, starts, mode="mean")
        return normalise(means, affine, utterances, norm=False, dtype=torch.float32).values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        lengths = ctx.lengths.to(gradient.device)
        owners = torch.repeat_interleave(lengths, output_size=ctx.units)
        shares = gradient / lengths[:, None].to(gradient.dtype)
        found = room(ctx.units, gradient.shape[1], gradient, ctx.dtype, shares=ctx.flat)
        own = sharing(shares) if ctx.flat else Shared(shares.to(ctx.dtype))
        for each, target in zip(own.tensors, found.tensors, strict=True):
            torch.index_select(each, 0, owners, out=target)
        return found.gradient, None, None, None, None
