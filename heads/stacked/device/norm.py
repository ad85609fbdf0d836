"""Layer normalisation of a stack, with the residual link before it."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.linear import NOTHING, After
from mer.heads.stacked.device.normed import Affine, Normed, Rows, link_like, normed, parts_of
from mer.heads.stacked.device.run_rows import TILE, RunRows
from mer.heads.stacked.device.shared import SHARING, Shared, room, shared

EPSILON = 1e-5
"""Added to variances, PyTorch's default."""


def stacked_norm(
    values: Rows,
    gains: Float[Tensor, "runs dim"],
    biases: Float[Tensor, "runs dim"],
    rows: RunRows,
    *,
    added: Float[Tensor, "rows dim"] | None = None,
) -> Normed:
    """`gain_r LN(values + added) + bias_r` for the rows of each run r.

    Args:
        values: rows of run 0, then of run 1, and so on.
        gains: of each run.
        biases: of each run.
        rows: of each run.
        added: the other summand.
    """
    made: tuple[Tensor, Tensor] = _Norm.apply(*parts_of(values), added, gains, biases, rows)  # type: ignore[no-untyped-call]
    return normed(made, gains, biases)


class Normalised(NamedTuple):
    """What a normalisation leaves for the backward pass."""

    values: Float[Tensor, "rows dim"]
    """Rows of mean 0 and variance 1."""
    deviations: Float[Tensor, " rows"]
    """1 / standard deviation of what each was made of."""
    bits: Int32[Tensor, "rows words"] | None
    """Which of what was added dropout kept, 32 to a word; None where nothing was dropped."""


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, link: Tensor, values: Tensor, affine: Affine, added: Tensor | None, gains: Tensor, biases: Tensor, rows: RunRows
    ) -> tuple[Tensor, Tensor]:
        found = normalise(values, affine, rows, added=None if added is None else added.contiguous())
        ctx.rows, ctx.adds, ctx.dtype = rows, added is not None, link.dtype
        ctx.save_for_backward(found.values, found.deviations, gains)
        ctx.mark_non_differentiable(found.values)
        ctx.set_materialize_grads(False)
        return found.values, link_like(found.values, link.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        values, deviations, gains = ctx.saved_tensors
        found, *sums = owed_of(gradients[1].contiguous(), values, deviations, gains, ctx.rows)
        return found.values, None, None, found.values if ctx.adds else None, *sums, None


def normalise(
    values: Tensor,
    affine: Affine,
    rows: RunRows,
    *,
    added: Tensor | Shared | None = None,
    after: After = NOTHING,
    norm: bool = True,
    dtype: torch.dtype | None = None,
) -> Normalised:
    """`LN(gain_r values + bias_r + dropout(added))`.

    Args:
        values: rows of run 0, then of run 1, and so on.
        affine: their gain and bias, if any.
        rows: of each run.
        added: the other summand.
        after: dropout of `added`.
        norm: normalise; else only add and scale.
        dtype: of what is given; None: as a product takes it.
    """
    from mer.heads.stacked.device.norm_kernels import norm_forward

    dim, drops = values.shape[1], after.draws is not None and after.dropped > 0 and added is not None
    out = torch.empty(values.shape, dtype=dtype or rows.path.normal, device=values.device)
    deviations = torch.empty(len(values), dtype=torch.float32, device=values.device)
    bits = torch.empty(len(values), -(-dim // 32), dtype=torch.int32, device=values.device) if drops else None
    keys = after.draws.keys if after.draws is not None else rows.tiles
    call = after.draws.next() if drops and after.draws is not None else 0
    more = None if added is None else shared(added)
    given = [*(affine or ()), *([] if more is None else more.tensors)]
    launch(
        norm_forward, (len(rows.tiles),),
        values, *(affine or (values, values)), *((values, values) if more is None else more.pair),
        out, deviations,
        rows.tiles if bits is None else bits, rows.tiles, keys, call, after.dropped, after.scale, dim, -(-dim // 32), EPSILON,
        reads=[values, *given, rows.tiles, *([keys] if drops else [])],
        writes=[out, *([deviations] if norm else []), *([] if bits is None else [bits])],
        NORM=norm, AFFINE=affine is not None, ADD=more is not None, SHARED=more is not None and more.shares,
        DROPOUT=drops, **_options(dim),
    )  # fmt: skip
    return Normalised(out, deviations, bits)


def owed_of(
    gradient: Tensor | Shared,
    values: Tensor,
    deviations: Tensor,
    gains: Tensor,
    rows: RunRows,
    *,
    shares: bool = False,
    owners: Int64[Tensor, " rows"] | None = None,
) -> tuple[Shared, Float[Tensor, "runs dim"], Float[Tensor, "runs dim"]]:
    """What a normalisation owes: the gradients of what it normalised, of gains and of biases.

    Args:
        gradient: of `gain_r values + bias_r`.
        values: rows of mean 0 and variance 1.
        deviations: 1 / standard deviation of what each was made of.
        gains: of each run.
        rows: of each run.
        shares: give values that share factors.
        owners: the row of `gradient` that is the gradient of each row; None: one of its own.
    """
    from mer.heads.stacked.device.norm_kernels import norm_backward

    came, gains, dim = shared(gradient), gains.contiguous(), values.shape[1]
    dtype = rows.dtype if owners is not None else came.values.dtype if came.factors is None else torch.float32
    owed = room(len(values), dim, values, dtype, shares=shares)
    of_gains, of_biases = (gains.new_empty(len(rows.tiles), dim) for _ in range(2))
    options = _options(dim)
    launch(
        norm_backward, (len(rows.tiles),),
        *came.pair, rows.tiles if owners is None else owners, values, deviations, gains, *owed.pair, of_gains, of_biases,
        rows.tiles, dim,
        reads=[*came.tensors, *([] if owners is None else [owners]), values, deviations, gains, rows.tiles],
        writes=[*owed.tensors, of_gains, of_biases], OWNED=owners is not None,
        SHARED=came.shares, SHARE=shares, BLOCK=min(SHARING, options["DIM"]), **options,
    )  # fmt: skip
    return owed, _add_tiles(of_gains, rows), _add_tiles(of_biases, rows)


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
    return {"TILE": TILE, "ROWS": 4, "DIM": max(32, 1 << (dim - 1).bit_length())}
