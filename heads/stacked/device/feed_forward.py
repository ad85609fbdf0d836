"""The feed-forward part of an attention layer for a stack: two layers, the residual link and the normalisation after it."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mer.heads.stacked.device.linear import NOTHING, After, Passed, multiply, noted_step, of_inputs, of_parameters
from mer.heads.stacked.device.means import mean_of, shares_of
from mer.heads.stacked.device.norm import normalise, owed_of
from mer.heads.stacked.device.normed import Affine, Normed, link_like, normed, parts_of
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.device.shared import Shared, gradient_of


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
    layers = *first, *second, *norm
    made: tuple[Tensor, Tensor] = _FeedForward.apply(*parts_of(values, flat=True), *layers, rows, after, shares, None)  # type: ignore[no-untyped-call]
    return normed(made, *norm)


class Utterances(NamedTuple):
    """Whose units some rows are."""

    lengths: Int64[Tensor, " utterances"]
    """Units of each utterance, at least 1, on the CPU."""
    rows: RunRows
    """Utterances of each run."""


def mean_after_feed_forward(
    values: Normed,
    first: tuple[Float[Tensor, "runs hidden dim"], Float[Tensor, "runs hidden"]],
    second: tuple[Float[Tensor, "runs dim hidden"], Float[Tensor, "runs dim"]],
    norm: tuple[Float[Tensor, "runs dim"], Float[Tensor, "runs dim"]],
    rows: RunRows,
    after: After,
    utterances: Utterances,
) -> Float[Tensor, "utterances dim"]:
    """`stacked_mean` of `feed_forward`: its gradient is never stored for each unit.

    Args:
        values: see `feed_forward`.
        first: see `feed_forward`.
        second: see `feed_forward`.
        norm: see `feed_forward`.
        rows: see `feed_forward`.
        after: see `feed_forward`.
        utterances: whose units the rows are.
    """
    layers = *first, *second, *norm
    made: tuple[Tensor, None] = _FeedForward.apply(*parts_of(values, flat=True), *layers, rows, after, False, utterances)  # type: ignore[no-untyped-call]
    return made[0]


class _FeedForward(torch.autograd.Function):
    """What is between the layers is kept as the second product takes it; what passes ReLU and dropouts is kept in bits.

    The gradient between the layers is stored once, as that of the first layer's sums.
    """

    @staticmethod
    def forward(
        ctx: Any, link: Tensor, values: Tensor, affine: Affine, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor,
        gains: Tensor, biases: Tensor, rows: RunRows, after: After, shares: bool,
        utterances: Utterances | None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        bits = torch.empty(len(values), -(-w1.shape[1] // 32), dtype=torch.int32, device=values.device)
        hidden = multiply(values, w1, b1, rows, after, affine=affine, dtype=rows.path.normal, bits=bits).values
        added = multiply(hidden, w2, b2, rows, NOTHING, shares=rows.path.shares)
        dropout = After(dropped=after.dropped, draws=after.draws)
        found = normalise(values, affine, rows, added=added, after=dropout)
        ctx.rows, ctx.affine, ctx.scale, ctx.flat = rows, affine, after.scale, link.ndim == 1
        ctx.steps = noted_step(w1, wanted=ctx.needs_input_grad[3]), noted_step(w2, wanted=ctx.needs_input_grad[5])
        ctx.save_for_backward(values, w1, w2, gains, hidden, bits, *found)
        ctx.set_materialize_grads(False)
        ctx.utterances = utterances
        if utterances is not None:
            return mean_of(found.values, (gains.contiguous(), biases.contiguous()), *utterances), None
        ctx.mark_non_differentiable(found.values)
        return found.values, link_like(values, rows.dtype, shares=shares)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        values, w1, w2, gains, hidden, bits, normal, deviations, kept = ctx.saved_tensors
        rows, (step1, step2) = ctx.rows, ctx.steps
        shares, owners = rows.path.shares, None
        if ctx.utterances is None:
            came = gradient_of(values, gradients[1])
        else:
            share, owners = shares_of(gradients[0], ctx.utterances.lengths, len(values))
            came = Shared(share)
        owed, *of_norm = owed_of(came, normal, deviations, gains, rows, shares=shares, owners=owners)
        dropout = None if kept is None else Passed(kept, ctx.scale)
        of_sums = of_inputs(owed, w2, rows.path.hidden, rows, dropout, before=Passed(bits, ctx.scale), shares=shares)
        second = of_parameters(owed, hidden, w2, rows, dropout, step=step2)
        of_values = of_inputs(of_sums, w1, rows.dtype, rows, more=owed, shares=ctx.flat).gradient
        first = of_parameters(of_sums, values, w1, rows, affine=ctx.affine, step=step1)
        return of_values, None, None, *first, *second, *of_norm, None, None, None, None
