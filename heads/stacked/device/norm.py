"""Layer normalisation of a stack, with the residual link before it."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.layer_average import EPSILON
from mer.heads.stacked.device.linear import NOTHING, After
from mer.heads.stacked.device.run_rows import TILE, RunRows


def stacked_norm(
    values: Float[Tensor, "rows dim"],
    gains: Float[Tensor, "runs dim"],
    biases: Float[Tensor, "runs dim"],
    rows: RunRows,
    *,
    added: Float[Tensor, "rows dim"] | None = None,
    after: After = NOTHING,
    norm: bool = True,
) -> Float[Tensor, "rows dim"]:
    """`gain_r LN(values + dropout(added)) + bias_r` for the rows of each run r.

    Args:
        values: rows of run 0, then of run 1, and so on.
        gains: of each run.
        biases: of each run.
        rows: of each run.
        added: the other summand.
        after: dropout of `added`.
        norm: normalise; else only scale and shift.
    """
    out: Tensor = _Norm.apply(values, added, gains, biases, rows, after, norm)  # type: ignore[no-untyped-call]
    return out


class _Norm(torch.autograd.Function):
    """What is normalised is made again for the backward pass from both summands, which are there anyway."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, added: Tensor | None, gains: Tensor, biases: Tensor, rows: RunRows, after: After, norm: bool
    ) -> Tensor:
        from mer.heads.stacked.device.norm_kernels import norm_forward

        values, gains, biases = values.contiguous(), gains.contiguous(), biases.contiguous()
        other = values if added is None else added.contiguous()
        drops = after.draws is not None and after.dropped > 0 and added is not None
        keys = after.draws.keys if after.draws is not None else rows.tiles
        call = after.draws.next() if drops and after.draws is not None else 0
        ctx.rows, ctx.drawn, ctx.scale, ctx.norm = rows, (keys, call, after.dropped), after.scale, norm
        ctx.drops, ctx.adds = drops, added is not None
        ctx.save_for_backward(values, other, gains)
        out = torch.empty(values.shape, dtype=rows.dtype, device=values.device)
        launch(
            norm_forward, (len(rows.tiles),),
            values, other, gains, biases, out, rows.tiles, *ctx.drawn, ctx.scale, values.shape[1], EPSILON,
            reads=[values, gains, biases, rows.tiles, *([other] if ctx.adds else [])], writes=[out],
            NORM=norm, ADD=ctx.adds, DROPOUT=drops, **_options(values.shape[1]),
        )  # fmt: skip
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from mer.heads.stacked.device.norm_kernels import norm_backward

        (values, other, gains), rows, gradient = ctx.saved_tensors, ctx.rows, gradients[0].contiguous()
        of_values = torch.empty_like(values)
        of_added = torch.empty_like(other) if ctx.drops else of_values
        of_gains, of_biases = (gains.new_empty(len(rows.tiles), gains.shape[1]) for _ in range(2))
        launch(
            norm_backward, (len(rows.tiles),),
            gradient, values, other, gains, of_values, of_added, of_gains, of_biases, rows.tiles, *ctx.drawn, ctx.scale,
            values.shape[1], EPSILON,
            reads=[gradient, values, gains, rows.tiles, *([other] if ctx.adds else [])],
            writes=[of_values, of_gains, of_biases, *([of_added] if ctx.drops else [])],
            NORM=ctx.norm, ADD=ctx.adds, DROPOUT=ctx.drops, **_options(values.shape[1]),
        )  # fmt: skip
        sums = (_add_tiles(each, rows) for each in (of_gains, of_biases))
        return of_values, of_added if ctx.adds else None, *sums, None, None, None


def _add_tiles(parts: Float[Tensor, "tiles dim"], rows: RunRows) -> Float[Tensor, "runs dim"]:
    from mer.heads.stacked.device.layer_kernels import add_parts

    runs, size = len(rows), parts.shape[1]
    out = parts.new_empty(runs, size)
    launch(
        add_parts, (runs, -(-size // 1024)), parts, out, rows.tile_numbers, rows.tile_bounds, runs, size,
        reads=[parts, rows.tile_numbers, rows.tile_bounds], writes=[out], SIZE=1024,
    )  # fmt: skip
    return out


def _options(dim: int) -> dict[str, Any]:
    return {"TILE": TILE, "ROWS": 4, "DIM": 1 << (dim - 1).bit_length()}
