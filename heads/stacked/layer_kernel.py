"""Compiled loops behind the layer average on a CPU: float16 is read, converted, multiplied and added in one pass.

PyTorch has no such operation: conversion, product and sum are three passes there, at three times the cost. numba
compiles these loops to vector instructions on first use and keeps them for the next process.

The additions of one output value are made in one fixed order whatever else is in a step, so that the numbers of a run
depend on nothing but the run.
"""

from typing import Any, no_type_check

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

BLOCK = 16
"""Units that are converted at a time; their values (0.6 MB at 12 x 768) stay in the second-level cache for all runs."""

EPSILON = 1e-5
"""Added to variances, PyTorch's default."""

# `contract` alone lets a product and the sum after it be one instruction; nothing is reordered.
_compiled = numba.njit(cache=True, nogil=True, fastmath={"contract"})


def _load(kind: Any, bytes_: int) -> Any:
    """An intrinsic `((kind *) address)[index]` as float32."""

    @intrinsic
    @no_type_check
    def load(typing_context, address, index):
        def generate(context, builder, signature, arguments):
            pointer = builder.inttoptr(arguments[0], kind.as_pointer())
            value = builder.load(builder.gep(pointer, [arguments[1]]), align=bytes_)
            return value if isinstance(kind, ir.FloatType) else builder.fpext(value, ir.FloatType())

        return types.float32(types.int64, types.int64), generate

    return load


# numba has no float16 on CPUs, but the machine has.
_half = _load(ir.HalfType(), 2)
_single = _load(ir.FloatType(), 4)


@_compiled
@no_type_check
def _convert(address, half, unit_stride, layer_stride, units, block):
    """Fill `block[:units]` with stored values, whose dimensions follow one another in memory."""
    for unit in range(units):
        for layer in range(block.shape[1]):
            start, row = unit * unit_stride + layer * layer_stride, block[unit, layer]
            if half:
                for dim in range(row.shape[0]):
                    row[dim] = _half(address, start + dim)
            else:
                for dim in range(row.shape[0]):
                    row[dim] = _single(address, start + dim)


# Sums over the dimensions of one unit may be made in any order, so that they are vectorised.
_reducing = numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})


@_reducing
@no_type_check
def _normalize(row):
    """Make mean 0 and variance 1 of a row, as `torch.nn.functional.layer_norm`; returns what it was multiplied by."""
    total = np.float32(0)
    for dim in range(row.shape[0]):
        total += row[dim]
    mean = total / np.float32(row.shape[0])
    squares = np.float32(0)
    for dim in range(row.shape[0]):
        squares += (row[dim] - mean) * (row[dim] - mean)
    scale = np.float32(1) / np.sqrt(squares / np.float32(row.shape[0]) + np.float32(EPSILON))
    for dim in range(row.shape[0]):
        row[dim] = (row[dim] - mean) * scale
    return scale


@_reducing
@no_type_check
def _normalize_backward(gradient, normal, scale, out):
    """`out = scale (gradient - mean(gradient) - normal mean(gradient normal))` of one row."""
    plain, along = np.float32(0), np.float32(0)
    for dim in range(normal.shape[0]):
        plain += gradient[dim]
        along += gradient[dim] * normal[dim]
    plain, along = plain / np.float32(normal.shape[0]), along / np.float32(normal.shape[0])
    for dim in range(normal.shape[0]):
        out[dim] = scale * (gradient[dim] - plain - normal[dim] * along)


@_compiled
@no_type_check
def normalized_sums(pieces, uses, half, unit_stride, layer_stride, factors, shifts, block, out, scales):
    """Normalise `shifts[run] + sum_l factors[run, l] x[u, l]` over dimensions, for every use of every piece.

    Args:
        pieces: int64 (pieces, 4): address of the first value, units, first row in `uses`, row after the last.
        uses: int64 (uses, 2): run, and row of `out` for the piece's first unit.
        half: whether values are float16; else float32.
        unit_stride: values from one unit to the next.
        layer_stride: values from one layer to the next.
        factors: float32 (runs, layers, dim).
        shifts: float32 (runs, dim).
        block: float32 (BLOCK, layers, dim), overwritten.
        out: float32 (rows, dim), overwritten by rows of mean 0 and variance 1.
        scales: float32 (rows), overwritten by 1 / standard deviation of each row's sum.
    """
    layers, bytes_ = factors.shape[1], 2 if half else 4
    for piece in range(pieces.shape[0]):
        for taken in range(0, pieces[piece, 1], BLOCK):
            count = min(BLOCK, pieces[piece, 1] - taken)
            _convert(pieces[piece, 0] + taken * unit_stride * bytes_, half, unit_stride, layer_stride, count, block)
            for use in range(pieces[piece, 2], pieces[piece, 3]):
                run, place = uses[use, 0], uses[use, 1] + taken
                for unit in range(count):
                    row = out[place + unit]
                    row[:] = shifts[run]
                    # Four layers at a time: the sum is loaded and stored a quarter as often.
                    for layer in range(0, layers - 3, 4):
                        x0, f0 = block[unit, layer], factors[run, layer]
                        x1, f1 = block[unit, layer + 1], factors[run, layer + 1]
                        x2, f2 = block[unit, layer + 2], factors[run, layer + 2]
                        x3, f3 = block[unit, layer + 3], factors[run, layer + 3]
                        for d in range(row.shape[0]):
                            row[d] = row[d] + x0[d] * f0[d] + x1[d] * f1[d] + x2[d] * f2[d] + x3[d] * f3[d]
                    for layer in range(layers - layers % 4, layers):
                        x0, f0 = block[unit, layer], factors[run, layer]
                        for dim in range(row.shape[0]):
                            row[dim] += x0[dim] * f0[dim]
                    scales[place + unit] = _normalize(row)


@_compiled
@no_type_check
def normalized_sums_backward(
    pieces, uses, half, unit_stride, layer_stride, gradient, out, scales, block, rows, of_factors, of_shifts
):
    """Add up the gradients of factors and shifts over every use of every piece.

    Args:
        pieces: see `normalized_sums`.
        uses: see `normalized_sums`.
        half: see `normalized_sums`.
        unit_stride: see `normalized_sums`.
        layer_stride: see `normalized_sums`.
        gradient: float32 (rows, dim), with respect to `out`.
        out: what `normalized_sums` gave.
        scales: what `normalized_sums` gave.
        block: see `normalized_sums`.
        rows: float32 (BLOCK, dim), overwritten.
        of_factors: float32 (runs, layers, dim), added to.
        of_shifts: float32 (runs, dim), added to.
    """
    layers, bytes_ = of_factors.shape[1], 2 if half else 4
    for piece in range(pieces.shape[0]):
        for taken in range(0, pieces[piece, 1], BLOCK):
            count = min(BLOCK, pieces[piece, 1] - taken)
            _convert(pieces[piece, 0] + taken * unit_stride * bytes_, half, unit_stride, layer_stride, count, block)
            for use in range(pieces[piece, 2], pieces[piece, 3]):
                run, place = uses[use, 0], uses[use, 1] + taken
                shift = of_shifts[run]
                for unit in range(count):
                    row = rows[unit]
                    _normalize_backward(gradient[place + unit], out[place + unit], scales[place + unit], row)
                    for dim in range(row.shape[0]):
                        shift[dim] += row[dim]
                for layer in range(layers):
                    total = of_factors[run, layer]
                    for unit in range(0, count - 3, 4):
                        x0, g0 = block[unit, layer], rows[unit]
                        x1, g1 = block[unit + 1, layer], rows[unit + 1]
                        x2, g2 = block[unit + 2, layer], rows[unit + 2]
                        x3, g3 = block[unit + 3, layer], rows[unit + 3]
                        for dim in range(total.shape[0]):
                            total[dim] = (
                                total[dim] + x0[dim] * g0[dim] + x1[dim] * g1[dim] + x2[dim] * g2[dim] + x3[dim] * g3[dim]
                            )
                    for unit in range(count - count % 4, count):
                        x0, g0 = block[unit, layer], rows[unit]
                        for dim in range(total.shape[0]):
                            total[dim] += x0[dim] * g0[dim]
