r"""The learned average over encoder layers, read straight from float16 features.

Equation 1 of Zhao 2022 with the global normalisation folded in. With a = w / sum(w),

    sum_l a_l (x_ld - mu_ld) / sigma_ld = sum_l scale_ld x_ld + shift_d,
    scale_ld = a_l / sigma_ld,   shift_d = - sum_l a_l mu_ld / sigma_ld,

so that the normalisation costs nothing per unit, and the features are touched by one multiplication only.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.features.reads import Reads, SharedReads, Table
from mer.heads.features.statistics import Statistics
from mer.heads.stacked.layer_kernel import BLOCK, EPSILON, normalized_sums, normalized_sums_backward


class LayerAverage(nn.Module):
    """Parameters of `LN(sum_l w_l u_l / sum_l w_l)` (Zhao 2022, eq. 1), all weights equal at first.

    In a stack every parameter has the runs before its own axes.

    Nothing keeps the weights positive: the paper has no such constraint. `softmax` replaces w / sum(w) by
    softmax(w), which does. LN has a learned gain and bias.
    """

    def __init__(self, *, layers: int, dim: int, softmax: bool = False) -> None:
        super().__init__()
        self.softmax = softmax
        self.weights = nn.Parameter(torch.zeros(layers) if softmax else torch.ones(layers))
        self.gain = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def proportions(self) -> Float[Tensor, "*runs layers"]:
        """What each layer contributes, w / sum(w) or softmax(w); differentiable."""
        return self.weights.softmax(-1) if self.softmax else self.weights / self.weights.sum(-1, keepdim=True)

    def shares(self) -> Float[Tensor, " layers"]:
        """The learned proportions, for reports."""
        return self.proportions().detach()

    def coefficients(self, statistics: Statistics | None) -> tuple[Float[Tensor, "*runs layers dim"], Float[Tensor, "*runs dim"]]:
        """`scale` and `shift` of the module's equation, differentiable in the weights.

        Args:
            statistics: training mean and deviation to normalise with; None leaves the features as they are.
        """
        shares, gain = self.proportions()[..., None], self.gain
        if statistics is None:
            return shares.expand(*shares.shape[:-1], gain.shape[-1]), torch.zeros_like(gain)
        scale = shares / statistics.std.to(shares.dtype)
        return scale, -(scale * statistics.mean.to(shares.dtype)).sum(-2)


def normalized_averages(
    averages: Sequence[LayerAverage], statistics: Sequence[Statistics | None], reads: Reads
) -> Float[Tensor, "units dim"]:
    """Layer averages of the units of several runs with mean 0 and variance 1 each: LN before its gain and bias.

    Args:
        averages: one per run.
        statistics: one per run, see `LayerAverage.coefficients`.
        reads: which units each run wants.
    """
    pairs = [average.coefficients(each) for average, each in zip(averages, statistics, strict=True)]
    return normalized_layer_sums([scale for scale, _ in pairs], [shift for _, shift in pairs], reads)


def normalized_layer_sums(
    scales: Sequence[Float[Tensor, "layers dim"]], shifts: Sequence[Float[Tensor, " dim"]], reads: Reads
) -> Float[Tensor, "units dim"]:
    """`layer_sums`, each unit then shifted and scaled to mean 0 and variance 1 over its dimensions.

    Compiled loops do both at once in float32 on a CPU, PyTorch elsewhere. Arguments as for `layer_sums`.
    """
    table = reads.table() if isinstance(reads, SharedReads) and scales[0].dtype == torch.float32 else None
    if table is not None:
        normal: Tensor = _CompiledNormalizedSums.apply(reads, table, *scales, *shifts)  # type: ignore[no-untyped-call]
        return normal
    summed = layer_sums(scales, shifts, reads)
    return F.layer_norm(summed, summed.shape[1:], eps=EPSILON)


class _CompiledNormalizedSums(torch.autograd.Function):
    """`layer_sums` and the normalisation after it by compiled loops: float32 on a CPU, read in place."""

    @staticmethod
    def forward(ctx: Any, reads: SharedReads, table: Table, *coefficients: Tensor) -> Tensor:
        runs, (layers, dim) = len(reads.sizes), coefficients[0].shape
        factors, shifts = torch.stack(coefficients[:runs]), torch.stack(coefficients[runs:])
        out, scales = torch.empty(sum(reads.sizes), dim), np.empty(sum(reads.sizes), dtype=np.float32)
        block = np.empty((BLOCK, layers, dim), dtype=np.float32)
        normalized_sums(*table, factors.numpy(), shifts.numpy(), block, out.numpy(), scales)
        ctx.reads, ctx.table, ctx.scales, ctx.layers = reads, table, scales, layers  # the table holds addresses of the reads
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (out,) = ctx.saved_tensors
        table: Table = ctx.table
        runs, dim = len(ctx.reads.sizes), out.shape[1]
        of_factors, of_shifts = torch.zeros(runs, ctx.layers, dim), torch.zeros(runs, dim)
        block, rows = (np.empty((BLOCK, *shape), dtype=np.float32) for shape in ((ctx.layers, dim), (dim,)))
        gradient = gradients[0].contiguous().numpy()
        normalized_sums_backward(*table, gradient, out.numpy(), ctx.scales, block, rows, of_factors.numpy(), of_shifts.numpy())
        return None, None, *of_factors, *of_shifts


def layer_sums(
    scales: Sequence[Float[Tensor, "layers dim"]], shifts: Sequence[Float[Tensor, " dim"]], reads: Reads
) -> Float[Tensor, "units dim"]:
    """`sum_l scale_ld x_uld + shift_d` for the units of several runs, run after run, in the precision of `scales`.

    The features are constants: no gradient flows to them, and no float32 copy of more than a block is made,
    neither here nor for the gradients, which read them a second time. Units that several runs want are read
    and converted once for all of them.

    Args:
        scales: factors of each layer and dimension, one per run.
        shifts: added to every unit, one per run.
        reads: which units each run wants.
    """
    sums: Tensor = _LayerSums.apply(reads, *scales, *shifts)  # type: ignore[no-untyped-call]
    return sums


class _LayerSums(torch.autograd.Function):
    """`layer_sums` with the gradients of scales and shifts."""

    @staticmethod
    def forward(reads: Reads, *coefficients: Tensor) -> Tensor:
        scales, shifts = coefficients[: len(reads.sizes)], coefficients[len(reads.sizes) :]
        factors = [scale.contiguous() for scale in scales]
        out = factors[0].new_empty(sum(reads.sizes), factors[0].shape[1])
        product = _Scratch()
        for block, uses in reads.blocks(factors[0]):
            for use in uses:
                part = product.like(block[use.start : use.end])
                torch.mul(block[use.start : use.end], factors[use.run], out=part)
                torch.sum(part, 1, out=out[use.place : use.place + use.end - use.start])
        for rows, shift in zip(torch.split(out, list(reads.sizes)), shifts, strict=True):
            rows += shift
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.reads = inputs[0]
        ctx.scale_like = inputs[1].detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        sizes = ctx.reads.sizes
        totals = [torch.zeros_like(ctx.scale_like, memory_format=torch.contiguous_format) for _ in sizes]
        part_sum = torch.empty_like(totals[0])
        product = _Scratch()
        for block, uses in ctx.reads.blocks(totals[0]):
            for use in uses:
                part = product.like(block[use.start : use.end])
                torch.mul(block[use.start : use.end], gradient[use.place : use.place + use.end - use.start, None], out=part)
                totals[use.run] += torch.sum(part, 0, out=part_sum)
        return None, *totals, *(rows.sum(0) for rows in torch.split(gradient, list(sizes)))


class _Scratch:
    """One buffer that is used again and again."""

    def __init__(self) -> None:
        self._buffer: Tensor | None = None

    def like(self, block: Tensor) -> Tensor:
        if self._buffer is None or self._buffer.shape[0] < block.shape[0]:
            self._buffer = torch.empty_like(block)
        return self._buffer[: block.shape[0]]
