"""The feed-forward part of an attention layer for a stack: two layers, the residual link and the normalisation after it."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.stacked.device.linear import NOTHING, After, Passed, multiply, noted_step, of_inputs, of_parameters
from mer.heads.stacked.device.norm import normalise, owed_of
from mer.heads.stacked.device.normed import Affine, Normed, link_like, normed, parts_of
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.device.shared import gradient_of


def feed_forward(
    values: Normed,
    first: tuple[Float[Tensor, "runs hidden dim"], Float[Tensor, "runs hidden"]],
    second: tuple[Float[Tensor, "runs dim hidden"], Float[Tensor, "runs dim"]],
    norm: tuple[Float[Tensor, "runs dim"], Float[Tensor, "runs dim"]],
    rows: RunRows,
    after: After,
    *,
    shares: bool = False,
) -> Normed:
    """`gain_r LN(x + dropout(W2 dropout(relu(W1 x + b1)) + b2)) + bias_r` for the rows x of each run r.

    Args:
        values: rows of run 0, then of run 1, and so on.
        first: the layer that widens them.
        second: the layer that brings them back.
        norm: gain and bias.
        rows: of each run.
        after: what follows the first layer, a ReLU included; its dropout follows the second one, too.
        shares: what is given is for one reader, whose gradient is `Shared`.
    """
    made: tuple[Tensor, Tensor] = _FeedForward.apply(*parts_of(values, flat=True), *first, *second, *norm, rows, after, shares)  # type: ignore[no-untyped-call]
    return normed(made, *norm)


class _FeedForward(torch.autograd.Function):
    """What is between the layers is kept as the second product takes it; what passes ReLU and dropouts is kept in bits.

    The gradient between the layers is stored once, as that of the first layer's sums.
    """

    @staticmethod
    def forward(
        ctx: Any, link: Tensor, values: Tensor, affine: Affine, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor,
        gains: Tensor, biases: Tensor, rows: RunRows, after: After, shares: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        bits = torch.empty(len(values), -(-w1.shape[1] // 32), dtype=torch.int32, device=values.device)
        hidden = multiply(values, w1, b1, rows, after, affine=affine, dtype=rows.path.normal, bits=bits).values
        added = multiply(hidden, w2, b2, rows, NOTHING, shares=rows.path.shares)
        dropout = After(dropped=after.dropped, draws=after.draws)
        found = normalise(values, affine, rows, added=added, after=dropout)
        ctx.rows, ctx.affine, ctx.scale, ctx.flat = rows, affine, after.scale, link.ndim == 1
        ctx.steps = noted_step(w1, wanted=ctx.needs_input_grad[3]), noted_step(w2, wanted=ctx.needs_input_grad[5])
        ctx.save_for_backward(values, w1, w2, gains, hidden, bits, *found)
        ctx.mark_non_differentiable(found.values)
        ctx.set_materialize_grads(False)
        return found.values, link_like(values, rows.dtype, shares=shares)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        values, w1, w2, gains, hidden, bits, normal, deviations, kept = ctx.saved_tensors
        rows, (step1, step2) = ctx.rows, ctx.steps
        came, shares = gradient_of(values, gradients[1]), rows.path.shares
        owed, *of_norm = owed_of(came, normal, deviations, gains, rows, shares=shares)
        dropout = None if kept is None else Passed(kept, ctx.scale)
        of_sums = of_inputs(owed, w2, rows.path.hidden, rows, dropout, before=Passed(bits, ctx.scale), shares=shares)
        second = of_parameters(owed, hidden, w2, rows, dropout, step=step2)
        of_values = of_inputs(of_sums, w1, rows.dtype, rows, more=owed, shares=ctx.flat).gradient
        first = of_parameters(of_sums, values, w1, rows, affine=ctx.affine, step=step1)
        return of_values, None, None, *first, *second, *of_norm, None, None, None
