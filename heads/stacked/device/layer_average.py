"""The layer average of a stack by kernels: alone, or with the linear layer after it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.features.device_reads import SHORT, ChunkTables, DeviceReads
from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.linear import DEPTH, After, Passed, multiply, noted_step, of_parameters
from mer.heads.stacked.device.norm import EPSILON, owed_of
from mer.heads.stacked.device.normed import Normed, link_like, normed
from mer.heads.stacked.device.run_rows import TILE, RunRows, tables_to_device
from mer.heads.stacked.device.shared import Shared, gradient_of, shared

UNITS, DIM = 16, 64
"""Units that the backward pass takes at a time, and dimensions of a program."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerSums:
    """`sum_l factors[r, l] x[l] + shifts[r]` of the units that each run r wants, before anything is computed."""

    factors: Float[Tensor, "runs layers dim"]
    """Factor of each run, layer and dimension."""
    shifts: Float[Tensor, "runs dim"]
    """Shift of each run."""
    reads: DeviceReads
    """Which units."""
    rows: RunRows
    """How many of each run, and how they are computed."""

    @cached_property
    def tables(self) -> ChunkTables:
        """On the device."""
        return ChunkTables(*tables_to_device(self.reads.host_tables, self.factors.device))

    def normalized(self) -> Float[Tensor, "units dim"]:
        """The sums with mean 0 and variance 1 each."""
        out: Tensor = _Normalized.apply(self.factors, self.shifts, self)  # type: ignore[no-untyped-call]
        return out

    def normed(self, gains: Float[Tensor, "runs dim"], biases: Float[Tensor, "runs dim"], *, shares: bool = False) -> Normed:
        """The same with a gain and a bias, which whoever reads them adds; `shares` as for `feed_forward`."""
        made: tuple[Tensor, Tensor] = _NormedSums.apply(self.factors, self.shifts, gains, biases, self, shares)  # type: ignore[no-untyped-call]
        return normed(made, gains, biases)

    def linear(
        self, weights: Float[Tensor, "runs outputs dim"], biases: Float[Tensor, "runs outputs"], after: After
    ) -> Float[Tensor, "units outputs"]:
        """`stacked_linear` of `normalized`, whose own gradient is never stored."""
        out: Tensor = _NormalizedLinear.apply(self.factors, self.shifts, weights, biases, self, after)  # type: ignore[no-untyped-call]
        return out

    def averages(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """`normalized` in some precision, and 1 / standard deviation of each row."""
        from mer.heads.stacked.device.layer_kernels import average_forward

        (_, layers, dim), units = self.factors.shape, self.reads.units
        out = torch.empty(self.rows.total, dim, dtype=dtype, device=units.device)
        deviations = torch.empty(self.rows.total, dtype=torch.float32, device=units.device)
        factors, shifts = self.factors.contiguous(), self.shifts.contiguous()
        launch(
            average_forward, (len(self.tables.short),),
            units, factors, shifts, out, deviations, self.tables.short, self.tables.uses, layers, dim, EPSILON,
            reads=[factors, shifts, self.tables.short, self.tables.uses], writes=[out, deviations],
            more_bytes=self._stored, CHUNK=SHORT, DIM=_power(dim), num_warps=8,
        )  # fmt: skip
        return out, deviations

    def gradients(
        self,
        gradient: Tensor | Shared,
        out: Tensor | None = None,
        deviations: Tensor | None = None,
        means: Tensor | None = None,
        linear: "tuple[Tensor, Tensor, After] | None" = None,
    ) -> tuple[Float[Tensor, "runs layers dim"], Float[Tensor, "runs dim"]]:
        """The gradients of factors and shifts.

        Args:
            gradient: of the sums; where `out` is given, of that; where `linear` is given, of what that layer gave.
            out: what `averages` gave.
            deviations: what `averages` gave.
            means: of `row_means` or `linear_row_means`.
            linear: the layer's output and weights, and what was done to its output.
        """
        from mer.heads.stacked.device.layer_kernels import average_backward

        (runs, layers, dim), tables, path = self.factors.shape, self.tables, self.rows.path
        parts = len(tables.order)
        of_factors, of_shifts = self.factors.new_empty(parts, layers, dim), self.shifts.new_empty(parts, dim)
        came = shared(gradient)
        hidden, weights, after = linear or (came.values, self.factors, After())
        normal = [each for each in (out, deviations, means) if each is not None]
        launch(
            average_backward, (len(tables.long), -(-dim // DIM)),
            self.reads.units, *came.pair, hidden, weights, *(normal or (came.values,) * 3), tables.long, tables.uses,
            of_factors, of_shifts,
            layers, dim, hidden.shape[1], after.scale,
            reads=[*came.tensors, *normal, tables.long, tables.uses, *([hidden, weights] if linear else [])],
            writes=[of_factors, of_shifts], more_bytes=self._stored,
            flops=2.0 * hidden.shape[0] * hidden.shape[1] * dim if linear else 0.0,
            SHARED=came.shares, NORM=bool(normal), LINEAR=linear is not None, ACTIVE=after.relu, PRECISION=path.dot,
            CHUNK=UNITS, LAYERS=_power(layers), DIM=DIM, DEPTH=DEPTH, num_warps=8,
        )  # fmt: skip
        return self._add(of_factors).view(runs, layers, dim), self._add(of_shifts)

    @property
    def _stored(self) -> int:
        """Bytes of the stored units that the step wants, each once."""
        return self.reads.distinct_units * self.reads.units[0].numel() * self.reads.units.element_size()

    def _add(self, parts: Tensor) -> Tensor:
        from mer.heads.stacked.device.layer_kernels import add_parts

        runs, size, tables = len(self.rows), parts[0].numel() if len(parts) else 0, self.tables
        out = parts.new_zeros(runs, size) if size == 0 else parts.new_empty(runs, size)
        launch(
            add_parts, (runs, -(-size // 1024)), parts, out, tables.order, tables.bounds, runs, size,
            reads=[parts, tables.order, tables.bounds], writes=[out], SIZE=1024,
        )  # fmt: skip
        return out


class _Normalized(torch.autograd.Function):
    """The average alone."""

    @staticmethod
    def forward(ctx: Any, factors: Tensor, shifts: Tensor, sums: LayerSums) -> Tensor:
        out, deviations = sums.averages(sums.rows.dtype)
        ctx.sums, ctx.deviations = sums, deviations
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from mer.heads.stacked.device.layer_kernels import row_means

        (out,), gradient = ctx.saved_tensors, gradients[0].contiguous()
        rows, dim = out.shape
        means = torch.empty(rows, 2, device=out.device)
        launch(
            row_means, (-(-rows // 4),), gradient, out, means, rows, dim,
            reads=[gradient, out], writes=[means], ROWS=4, DIM=_power(dim),
        )  # fmt: skip
        return *ctx.sums.gradients(gradient, out, ctx.deviations, means), None


class _NormedSums(torch.autograd.Function):
    """The average as `Normed`: the gradient of the sums is made once, by the kernel that all normalisations have."""

    @staticmethod
    def forward(
        ctx: Any, factors: Tensor, shifts: Tensor, gains: Tensor, biases: Tensor, sums: LayerSums, shares: bool
    ) -> tuple[Tensor, Tensor]:
        out, deviations = sums.averages(sums.rows.path.normal)
        ctx.sums = sums
        ctx.save_for_backward(out, deviations, gains)
        ctx.mark_non_differentiable(out)
        ctx.set_materialize_grads(False)
        return out, link_like(out, sums.rows.dtype, shares=shares)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        out, deviations, gains = ctx.saved_tensors
        came, rows = gradient_of(out, gradients[1]), ctx.sums.rows
        owed, *of_affine = owed_of(came, out, deviations, gains, rows, shares=rows.path.shares)
        return *ctx.sums.gradients(owed), *of_affine, None, None


class _NormalizedLinear(torch.autograd.Function):
    """The average and a linear layer; the average is kept in the precision in which the product takes it."""

    @staticmethod
    def forward(
        ctx: Any, factors: Tensor, shifts: Tensor, weights: Tensor, biases: Tensor, sums: LayerSums, after: After
    ) -> Tensor:
        normal, deviations = sums.averages(sums.rows.path.normal)
        out = multiply(normal, weights, biases, sums.rows, after).values
        ctx.sums, ctx.after, ctx.deviations = sums, after, deviations
        ctx.step = noted_step(weights, wanted=ctx.needs_input_grad[2])
        ctx.save_for_backward(normal, weights, biases, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from mer.heads.stacked.device.layer_kernels import linear_row_means

        normal, weights, biases, out = ctx.saved_tensors
        sums, after, gradient = ctx.sums, ctx.after, gradients[0].contiguous()
        own, weights, rows = weights, weights.contiguous(), sums.rows
        means, weight_sums = torch.empty(rows.total, 2, device=out.device), weights.sum(2)
        launch(
            linear_row_means, (len(rows.tiles),),
            gradient, out, weight_sums, biases.contiguous(), means, rows.tiles, after.scale, weights.shape[1], weights.shape[2],
            reads=[gradient, out, weight_sums, biases, rows.tiles], writes=[means],
            ACTIVE=after.relu, ROWS=TILE, OUTPUTS=64,
        )  # fmt: skip
        of_sums = sums.gradients(gradient, normal, ctx.deviations, means, (out, weights, after))
        passed = Passed(out, after.scale) if after.relu else None
        return *of_sums, *of_parameters(gradient, normal, own, rows, passed, step=ctx.step), None, None


def _power(size: int) -> int:
    return 1 << (size - 1).bit_length()
