"""Linear layers of a stack whose weights are one tensor, with ReLU and dropout of what they give."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.stacked.device.draws import Draws
from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.own_step import DECAYS, EPSILON, OwnStep, own_step
from mer.heads.stacked.device.run_rows import TILE, RunRows


@dataclass(frozen=True, kw_only=True, eq=False)
class After:
    """What is done to what a layer gives."""

    relu: bool = False
    """Negative values become zero."""
    dropped: int = 0
    """How many of 2^16 equally frequent numbers mean zero."""
    draws: Draws | None = None
    """Draw them; None leaves dropout out."""

    @property
    def scale(self) -> float:
        """What values that stay are multiplied by."""
        return 2**16 / (2**16 - self.dropped) if self.draws is not None else 1.0


NOTHING = After()
DEPTH = 32
"""Values that are multiplied at a time."""


def stacked_linear(
    values: Float[Tensor, "rows _"],
    weights: Float[Tensor, "runs *heads outputs inputs"],
    biases: Float[Tensor, "runs *heads outputs"],
    rows: RunRows,
    after: After = NOTHING,
) -> Float[Tensor, "rows _"]:
    """`W_r x + b_r` for the rows of each run r, then `after`, in `rows.dtype`.

    With an axis of attention heads each head has its own weights; the values of the heads follow one another in a row.
    """
    out: Tensor = _StackedLinear.apply(values, weights, biases, rows, after)  # type: ignore[no-untyped-call]
    return out


def linked_linear(
    values: Float[Tensor, "rows inputs"],
    weights: Float[Tensor, "runs outputs inputs"],
    biases: Float[Tensor, "runs outputs"],
    rows: RunRows,
) -> tuple[Float[Tensor, "rows outputs"], Float[Tensor, "rows inputs"]]:
    """`stacked_linear`, and the values for their next use: what that owes them is added while their gradient is made."""
    out: tuple[Tensor, Tensor] = _LinkedLinear.apply(values, weights, biases, rows)  # type: ignore[no-untyped-call]
    return out


def feed_forward(
    values: Float[Tensor, "rows dim"],
    first: tuple[Float[Tensor, "runs hidden dim"], Float[Tensor, "runs hidden"]],
    second: tuple[Float[Tensor, "runs dim hidden"], Float[Tensor, "runs dim"]],
    rows: RunRows,
    after: After,
) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, "rows dim"]]:
    """Two layers with `after`, which has a ReLU, between them; what is between is kept as the second product takes it.

    Gives the values, too, for the residual link: what it owes them is added while their gradient is made.
    """
    out: tuple[Tensor, Tensor] = _FeedForward.apply(values, *first, *second, rows, after)  # type: ignore[no-untyped-call]
    return out


class _StackedLinear(torch.autograd.Function):
    """One kernel forward, and one each for the gradients of values and of weights with biases."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, biases: Tensor, rows: RunRows, after: After) -> Tensor:
        values = values.contiguous()
        out = multiply(values, weights, biases, rows, after)
        ctx.rows, ctx.after, ctx.step = rows, after, noted_step(weights, wanted=ctx.needs_input_grad[1])
        ctx.save_for_backward(values, weights, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, weights, out = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_values = None
        if ctx.needs_input_grad[0]:
            of_values = of_inputs(gradient, out, weights, values.dtype, ctx.rows, ctx.after)
        return of_values, *of_parameters(gradient, out, values, weights, ctx.rows, ctx.after, ctx.step), None, None


class _LinkedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, biases: Tensor, rows: RunRows) -> tuple[Tensor, Tensor]:
        values = values.contiguous()
        ctx.rows, ctx.step = rows, noted_step(weights, wanted=ctx.needs_input_grad[1])
        ctx.save_for_backward(values, weights)
        return multiply(values, weights, biases, rows, NOTHING), values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (values, weights), (gradient, more) = ctx.saved_tensors, (each.contiguous() for each in gradients)
        of_values = of_inputs(gradient, gradient, weights, values.dtype, ctx.rows, NOTHING, more=more)
        return of_values, *of_parameters(gradient, gradient, values, weights, ctx.rows, NOTHING, ctx.step), None


class _FeedForward(torch.autograd.Function):
    """The gradient between the layers is stored once, as that of the first layer's sums."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, rows: RunRows, after: After
    ) -> tuple[Tensor, Tensor]:
        hidden = multiply(values, w1, b1, rows, after, rows.path.normal)
        ctx.rows, ctx.after = rows, after
        ctx.steps = noted_step(w1, wanted=ctx.needs_input_grad[1]), noted_step(w2, wanted=ctx.needs_input_grad[3])
        ctx.save_for_backward(values, w1, w2, hidden)
        return multiply(hidden, w2, b2, rows, NOTHING), values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, w1, w2, hidden = ctx.saved_tensors
        rows, gradient = ctx.rows, gradients[0].contiguous()
        of_sums = of_inputs(gradient, gradient, w2, rows.path.hidden, rows, ctx.after, before=hidden)
        second = of_parameters(gradient, gradient, hidden, w2, rows, NOTHING, ctx.steps[1])
        of_values = of_inputs(of_sums, of_sums, w1, values.dtype, rows, NOTHING, more=gradients[1].contiguous())
        first = of_parameters(of_sums, of_sums, values, w1, rows, NOTHING, ctx.steps[0])
        return of_values, *first, *second, None, None


def multiply(
    values: Tensor, weights: Tensor, biases: Tensor, rows: RunRows, after: After, dtype: torch.dtype | None = None
) -> Tensor:
    """What `stacked_linear` gives, in `dtype` where one is given."""
    from mer.heads.stacked.device.linear_kernels import linear_forward

    biases, (heads, *strides) = biases.contiguous(), _heads(weights)
    outputs, inputs = weights.shape[-2:]
    out = torch.empty(values.shape[0], heads * outputs, dtype=dtype or rows.dtype, device=values.device)
    drops = after.draws is not None and after.dropped > 0
    keys = after.draws.keys if after.draws is not None else rows.tiles
    call = after.draws.next() if drops and after.draws is not None else 0
    launch(
        linear_forward, (_count(outputs, 128), len(rows.tiles), heads),
        values, weights, biases, out, rows.tiles, keys, call, after.dropped, after.scale, outputs, inputs, heads, *strides,
        reads=[values, weights, biases, rows.tiles], writes=[out], flops=2.0 * values.shape[0] * outputs * inputs * heads,
        RELU=after.relu, DROPOUT=drops, COLUMNS=_block(outputs, 128), **_options(rows),
    )  # fmt: skip
    return out


def of_inputs(
    gradient: Tensor, out: Tensor, weights: Tensor, dtype: torch.dtype, rows: RunRows, after: After,
    before: Tensor | None = None, more: Tensor | None = None,
) -> Float[Tensor, "rows inputs"]:  # fmt: skip
    """The gradient of values; where `before` is given they are that layer's output, and `after` was done to it, not to `out`.

    `more` is added: what another use of the values owes.
    """
    from mer.heads.stacked.device.linear_kernels import linear_of_inputs

    (heads, *strides), active = _heads(weights), after.relu and before is None
    outputs, inputs = weights.shape[-2:]
    found = torch.empty(gradient.shape[0], heads * inputs, dtype=dtype, device=gradient.device)
    read = [each for each in (out if active else None, before, more) if each is not None]
    launch(
        linear_of_inputs, (_count(inputs, 128), len(rows.tiles), heads),
        gradient, out, weights, found, found if before is None else before, found if more is None else more, rows.tiles,
        after.scale, outputs, inputs, heads, *strides,
        reads=[gradient, *read, weights, rows.tiles], writes=[found], flops=2.0 * gradient.shape[0] * outputs * inputs * heads,
        ACTIVE=active, BEFORE=before is not None, MORE=more is not None, COLUMNS=_block(inputs, 128), **_options(rows),
    )  # fmt: skip
    return found


def of_parameters(
    gradient: Tensor, out: Tensor, values: Tensor, weights: Tensor, rows: RunRows, after: After, step: OwnStep | None = None
) -> tuple[Float[Tensor, "runs *heads outputs inputs"] | None, Float[Tensor, "runs *heads outputs"]]:
    """The gradients of weights and of biases.

    With a `step` that has begun the weights are moved instead: nothing may ask for them afterwards.
    """
    from mer.heads.stacked.device.linear_kernels import linear_of_weights

    runs, (heads, *strides), (outputs, inputs) = len(weights), _heads(weights), weights.shape[-2:]
    of_biases, above = weights.new_empty(weights.shape[:-1]), _block(outputs, 64)
    moves = None if step is None else step.take(weights)
    if moves is None:
        # Laid out as the weights are, which may be a view of a parameter: its gradient then needs no copy.
        target = torch.empty_strided(weights.shape, weights.stride(), dtype=weights.dtype, device=weights.device)
        state, moved = (target, target, of_biases), [target]
    else:
        target, state, moved = weights, moves, [weights, moves.first, moves.second]
    launch(
        linear_of_weights, (_count(outputs, above), _count(inputs, 128), runs * heads),
        gradient, out, values, target, of_biases, *state, rows.bounds, runs, after.scale, outputs, inputs, heads, *strides,
        *DECAYS, EPSILON,
        reads=[gradient, *([out] if after.relu else []), values, rows.bounds, *(moved if moves else [])],
        writes=[*moved, of_biases], flops=2.0 * values.shape[0] * outputs * inputs * heads,
        ACTIVE=after.relu, MOVE=moves is not None, COLUMNS=_block(inputs, 128), **_options(rows) | {"ROWS": above},
    )  # fmt: skip
    return None if moves else target, of_biases


def noted_step(weights: Tensor, *, wanted: bool) -> OwnStep | None:
    """The own step of weights that a product takes; `wanted` where their gradient will be asked for."""
    step = own_step(weights)
    if step is not None and wanted:
        step.note_use()
    return step


def _heads(weights: Tensor) -> tuple[int, int, int, int, int]:
    """Attention heads, and the strides of run, head, output and input."""
    run, *head, output, inputs = weights.stride()
    return (weights.shape[1] if head else 1), run, sum(head), output, inputs


def _options(rows: RunRows) -> dict[str, Any]:
    return {"PRECISION": rows.path.dot, "ROWS": TILE, "DEPTH": DEPTH}


def _block(size: int, most: int) -> int:
    """Columns of a program: a power of two, as few as hold them, at least what a tensor core takes."""
    return min(most, max(16, 1 << (size - 1).bit_length()))


def _count(size: int, most: int) -> int:
    return -(-size // _block(size, most))
