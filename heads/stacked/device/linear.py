"""Linear layers of a stack whose weights are one tensor, with ReLU and dropout of what they give."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from mer.heads.stacked.device.draws import Draws
from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.normed import Affine, Normed, Rows, link_like, parts_of
from mer.heads.stacked.device.own_step import DECAYS, EPSILON, OwnStep, own_step, taken
from mer.heads.stacked.device.run_rows import TILE, RunRows
from mer.heads.stacked.device.shared import Shared, room, shared


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


class Passed(NamedTuple):
    """Where ReLU and dropout let a value out."""

    where: Tensor
    """What they gave, where values above zero did; or words of 32 bits, in int32."""
    scale: float
    """What was multiplied with what stayed."""

    @property
    def bits(self) -> bool:
        """Whether it is words."""
        return self.where.dtype == torch.int32


def stacked_linear(
    values: Rows,
    weights: Float[Tensor, "runs *heads outputs inputs"],
    biases: Float[Tensor, "runs *heads outputs"],
    rows: RunRows,
    after: After = NOTHING,
) -> Float[Tensor, "rows _"]:
    """`W_r x + b_r` for the rows of each run r, then `after`, in `rows.dtype`.

    With an axis of attention heads each head has its own weights; the values of the heads follow one another in a row.
    """
    out: Tensor = _StackedLinear.apply(*parts_of(values), weights, biases, rows, after)  # type: ignore[no-untyped-call]
    return out


def linked_linear(
    values: Normed,
    weights: Float[Tensor, "runs outputs inputs"],
    biases: Float[Tensor, "runs outputs"],
    rows: RunRows,
) -> tuple[Float[Tensor, "rows outputs"], Normed]:
    """`stacked_linear`, and the values for their next use: what that owes them is added while their gradient is made."""
    out, link = _LinkedLinear.apply(*parts_of(values), weights, biases, rows)  # type: ignore[no-untyped-call]
    return out, values.through(link)


class _StackedLinear(torch.autograd.Function):
    """One kernel forward, and one each for the gradients of values and of weights with biases."""

    @staticmethod
    def forward(
        ctx: Any, link: Tensor, values: Tensor, affine: Affine, weights: Tensor, biases: Tensor, rows: RunRows, after: After
    ) -> Tensor:
        out = multiply(values, weights, biases, rows, after, affine=affine).values
        ctx.rows, ctx.scale, ctx.affine, ctx.dtype = rows, after.scale, affine, link.dtype
        ctx.step = noted_step(weights, wanted=ctx.needs_input_grad[3])
        ctx.save_for_backward(values, weights, out if after.relu else None)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, weights, out = ctx.saved_tensors
        gradient, passed = gradients[0].contiguous(), None if out is None else Passed(out, ctx.scale)
        of_values = of_inputs(gradient, weights, ctx.dtype, ctx.rows, passed).values if ctx.needs_input_grad[0] else None
        sums = of_parameters(gradient, values, weights, ctx.rows, passed, ctx.affine, ctx.step)
        return of_values, None, None, *sums, None, None


class _LinkedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, link: Tensor, values: Tensor, affine: Affine, weights: Tensor, biases: Tensor, rows: RunRows
    ) -> tuple[Tensor, Tensor]:
        ctx.rows, ctx.affine, ctx.dtype = rows, affine, link.dtype
        ctx.step = noted_step(weights, wanted=ctx.needs_input_grad[3])
        ctx.save_for_backward(values, weights)
        return multiply(values, weights, biases, rows, NOTHING, affine=affine).values, link_like(values, link.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (values, weights), (gradient, more) = ctx.saved_tensors, (each.contiguous() for each in gradients)
        of_values = of_inputs(gradient, weights, ctx.dtype, ctx.rows, more=more).values
        sums = of_parameters(gradient, values, weights, ctx.rows, affine=ctx.affine, step=ctx.step)
        return of_values, None, None, *sums, None


def multiply(
    values: Tensor | Shared,
    weights: Tensor,
    biases: Tensor,
    rows: RunRows,
    after: After,
    *,
    affine: Affine = None,
    dtype: torch.dtype | None = None,
    bits: Int32[Tensor, "rows words"] | None = None,
    shares: bool = False,
) -> Shared:
    """What `stacked_linear` gives.

    Args:
        values: see `stacked_linear`.
        weights: see `stacked_linear`.
        biases: see `stacked_linear`.
        rows: see `stacked_linear`.
        after: see `stacked_linear`.
        affine: gain and bias of the values.
        dtype: of what is given, where it is not `rows.dtype`.
        bits: filled with which values ReLU and dropout let out; not with attention heads.
        shares: give values that share factors.
    """
    from mer.heads.stacked.device.linear_kernels import linear_forward

    biases, weights, given = biases.contiguous(), taken(weights, rows.path.normal), shared(values)
    (heads, *strides), (outputs, inputs), count = _heads(weights), weights.shape[-2:], len(given.values)
    out = room(count, heads * outputs, weights, dtype or rows.dtype, shares=shares, span=outputs)
    drops = after.draws is not None and after.dropped > 0
    keys = after.draws.keys if after.draws is not None else rows.tiles
    call = after.draws.next() if drops and after.draws is not None else 0
    columns = _block(outputs, 128) if bits is None else max(32, _block(outputs, 128))
    launch(
        linear_forward, (-(-outputs // columns), len(rows.tiles), heads),
        *given.pair, given.span, *(affine or given.pair), weights, biases, *out.pair, rows.tiles if bits is None else bits,
        rows.tiles, keys, call, after.dropped, after.scale, outputs, inputs, heads, *strides,
        reads=[*given.tensors, *(affine or ()), weights, biases, rows.tiles, *([keys] if drops else [])],
        writes=[*out.tensors, *([] if bits is None else [bits])], flops=2.0 * count * outputs * inputs * heads,
        SHARED=given.shares, AFFINE=affine is not None, RELU=after.relu, DROPOUT=drops, KEEP=bits is not None, SHARE=shares,
        COLUMNS=columns, **_options(rows),
    )  # fmt: skip
    return out


def of_inputs(
    gradient: Tensor | Shared,
    weights: Tensor,
    dtype: torch.dtype,
    rows: RunRows,
    passed: Passed | None = None,
    *,
    before: Passed | None = None,
    more: Tensor | Shared | None = None,
    shares: bool = False,
) -> Shared:
    """The gradient of a layer's values.

    Args:
        gradient: of what was given.
        weights: of the layer.
        dtype: of what is found.
        rows: of each run.
        passed: what ReLU and dropout after the layer let out, if there are any.
        before: what those before the layer let out, in bits; then it is the gradient of what they were given.
        more: is added: what another use of the values owes.
        shares: give values that share factors.
    """
    from mer.heads.stacked.device.linear_kernels import linear_of_inputs

    weights = taken(weights, rows.path.normal)
    (heads, *strides), (outputs, inputs) = _heads(weights), weights.shape[-2:]
    gradient = shared(gradient)
    found = room(len(gradient.values), heads * inputs, weights, dtype, shares=shares, span=inputs)
    chosen, also = [each.where for each in (passed, before) if each is not None], found if more is None else shared(more)
    launch(
        linear_of_inputs, (_count(inputs, 128), len(rows.tiles), heads),
        *gradient.pair, gradient.span, gradient.values if passed is None else passed.where, weights, *found.pair,
        rows.tiles if before is None else before.where, *also.pair, also.span, rows.tiles,
        1.0 if passed is None else passed.scale, 1.0 if before is None else before.scale, outputs, inputs, heads, *strides,
        reads=[*gradient.tensors, *chosen, *([] if more is None else also.tensors), weights, rows.tiles], writes=found.tensors,
        flops=2.0 * len(gradient.values) * outputs * inputs * heads, SHARED=gradient.shares, SHARE=shares,
        ACTIVE=passed is not None, BITS=passed is not None and passed.bits, BEFORE=before is not None, MORE=more is not None,
        MORE_SHARED=more is not None and also.shares, COLUMNS=_block(inputs, 128), **_options(rows),
    )  # fmt: skip
    return found


def of_parameters(
    gradient: Tensor | Shared,
    values: Tensor | Shared,
    weights: Tensor,
    rows: RunRows,
    passed: Passed | None = None,
    affine: Affine = None,
    step: OwnStep | None = None,
) -> tuple[Float[Tensor, "runs *heads outputs inputs"] | None, Float[Tensor, "runs *heads outputs"]]:
    """The gradients of weights and of biases.

    With a `step` that has begun the weights are moved instead: nothing may ask for them afterwards.
    """
    from mer.heads.stacked.device.linear_kernels import linear_of_weights

    runs, (heads, *strides), (outputs, inputs) = len(weights), _heads(weights), weights.shape[-2:]
    gradient, values = shared(gradient), shared(values)
    of_biases, above = weights.new_empty(weights.shape[:-1]), _block(outputs, 64)
    moves = None if step is None else step.take(weights)
    if moves is None:
        # Laid out as the weights are, which may be a view of a parameter: its gradient then needs no copy.
        target = torch.empty_strided(weights.shape, weights.stride(), dtype=weights.dtype, device=weights.device)
        state, moved = (target, target, of_biases, target), [target]
    else:
        target, moved = weights, [weights, moves.first, moves.second]
        state = (moves.first, moves.second, moves.scalars, weights if moves.copy is None else moves.copy)
    copies = [] if moves is None or moves.copy is None else [moves.copy]
    read = [*([] if passed is None else [passed.where]), *(affine or ()), *([*moved, moves.scalars] if moves else [])]
    launch(
        linear_of_weights, (_count(outputs, above), _count(inputs, 128), runs * heads),
        *gradient.pair, gradient.span, gradient.values if passed is None else passed.where,
        *values.pair, values.span, *(affine or values.pair), target, of_biases, *state,
        rows.bounds, runs, 1.0 if passed is None else passed.scale, outputs, inputs, heads, *strides, *DECAYS, EPSILON,
        reads=[*gradient.tensors, *values.tensors, rows.bounds, *read],
        writes=[*moved, of_biases, *copies], flops=2.0 * len(values.values) * outputs * inputs * heads,
        VALUES_SHARED=values.shares, AFFINE=affine is not None, SHARED=gradient.shares, ACTIVE=passed is not None,
        BITS=passed is not None and passed.bits, MOVE=moves is not None, COPY=bool(copies),
        COLUMNS=_block(inputs, 128), **_options(rows) | {"ROWS": above},
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
