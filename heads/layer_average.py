r"""The learned average over encoder layers, read straight from float16 features.

Equation 1 of Zhao 2022 with the global normalisation folded in. With a = w / sum(w),

    sum_l a_l (x_ld - mu_ld) / sigma_ld = sum_l scale_ld x_ld + shift_d,
    scale_ld = a_l / sigma_ld,   shift_d = - sum_l a_l mu_ld / sigma_ld,

so that the normalisation costs nothing per unit, and the features are touched by one multiplication only.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.packed_batch import PackedBatch
from mer.heads.statistics import Statistics

# Values that are converted to float32 at a time. On a CPU they (0.9 MB, 24 units of 12 x 768) stay in the
# second-level cache between conversion, product and sum; on a GPU the block only bounds memory.
BLOCK_CPU = 24 * 12 * 768
BLOCK_GPU = 4096 * 12 * 768


class LayerAverage(nn.Module):
    """`LN(sum_l w_l u_l / sum_l w_l)` per unit (Zhao 2022, eq. 1), all weights equal at first.

    Nothing keeps the weights positive: the paper has no such constraint. LN has a learned gain and bias.
    """

    def __init__(self, *, layers: int, dim: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(layers))
        self.gain = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, batch: PackedBatch, statistics: Statistics | None) -> Float[Tensor, "units dim"]:
        """Average, normalised units in the precision of the parameters.

        Args:
            batch: stored activations.
            statistics: training mean and deviation to normalise with; None leaves the features as they are.
        """
        scale, shift = coefficients(self.weights, self.gain.shape[0], statistics)
        average = packed_average(scale, shift, batch.units)
        return F.layer_norm(average, self.gain.shape, self.gain, self.bias)

    def shares(self) -> Float[Tensor, " layers"]:
        """The learned w_l / sum(w): what each layer contributes."""
        return (self.weights / self.weights.sum()).detach()


def coefficients(
    weights: Float[Tensor, " layers"], dim: int, statistics: Statistics | None
) -> tuple[Float[Tensor, "layers dim"], Float[Tensor, " dim"]]:
    """`scale` and `shift` of the module's equation, differentiable in `weights`."""
    shares = (weights / weights.sum())[:, None]
    if statistics is None:
        return shares.expand(-1, dim), shares.new_zeros(dim)
    scale = shares / statistics.std.to(weights.dtype)
    return scale, -(scale * statistics.mean.to(weights.dtype)).sum(0)


def packed_average(
    scale: Float[Tensor, "layers dim"],
    shift: Float[Tensor, " dim"],
    units: tuple[Float[Tensor, "_ layers dim"], ...],
) -> Float[Tensor, "units dim"]:
    """`sum_l scale_ld x_uld + shift_d`, computed in the precision of `scale`.

    The features are constants: no gradient flows to them, and no float32 copy of more than a block is made,
    neither here nor for the gradient of `scale`, which reads them a second time.

    Args:
        scale: factor of each layer and dimension.
        shift: added to every unit.
        units: pieces whose units follow one another.
    """
    average: Tensor = _PackedSum.apply(scale, shift, units)  # type: ignore[no-untyped-call]
    return average


class _PackedSum(torch.autograd.Function):
    """`sum_l scale_ld x_uld + shift_d` over float16 pieces, with the gradients of `scale` and `shift`."""

    @staticmethod
    def forward(scale: Tensor, shift: Tensor, units: tuple[Tensor, ...]) -> Tensor:
        out = scale.new_empty(sum(piece.shape[0] for piece in units), scale.shape[1])
        factors = scale.contiguous()
        for start, block in _blocks(units, factors):
            torch.sum(block.mul_(factors), 1, out=out[start : start + block.shape[0]])
        return out.add_(shift)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, tuple[Tensor, ...]], output: Tensor) -> None:
        ctx.scale_like, ctx.units = inputs[0].detach(), inputs[2]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        total = torch.zeros_like(ctx.scale_like, memory_format=torch.contiguous_format)
        for start, block in _blocks(ctx.units, total):
            total += block.mul_(gradient[start : start + block.shape[0], None]).sum(0)
        return total, gradient.sum(0), None


def _blocks(units: tuple[Tensor, ...], like: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Units one after the other in the precision of `like`, in one reused block: its first unit's place, and its units."""
    limit = BLOCK_CPU if like.device.type == "cpu" else BLOCK_GPU
    block = like.new_empty(max(1, limit // like.numel()), *like.shape)
    room = block.shape[0]
    start = filled = 0
    for piece in units:
        taken, count = 0, piece.shape[0]
        while taken < count:
            step = min(count - taken, room - filled)
            block[filled : filled + step].copy_(piece[taken : taken + step])
            taken, filled = taken + step, filled + step
            if filled == room:
                yield start, block
                start, filled = start + room, 0
    if filled:
        yield start, block[:filled]
