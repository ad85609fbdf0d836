"""The layer average of many runs in Triton: stored units are read once for all runs that want them, and never copied.

A chunk is a few units of one utterance. Forward, a program takes a chunk and makes the rows of every run that wants it. Backward,
a program takes a longer chunk and a part of the dimensions, and adds up what each run's gradient owes to it; a second kernel adds
these parts up in a fixed order, so that the sums are the same every time.
"""

from typing import no_type_check

import triton
import triton.language as tl

from mer.heads.stacked.device.linear_kernels import expanded, product


@triton.jit
@no_type_check
def average_forward(
    units, factors, shifts, out, deviations, chunks, uses, layers, dim, epsilon,
    CHUNK: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    """Mean 0 and variance 1 of `shifts[run] + sum_l factors[run, l] x[l]`, for every use of a chunk's units."""
    chunk = chunks + 6 * tl.program_id(0)
    first, count, offset = tl.load(chunk).to(tl.int64), tl.load(chunk + 1), tl.load(chunk + 2)
    unit, d = tl.arange(0, CHUNK), tl.arange(0, DIM)
    inside, real = (unit < count)[:, None] & (d < dim)[None, :], d < dim
    for use in range(tl.load(chunk + 3), tl.load(chunk + 4)):
        run, row = tl.load(uses + 2 * use), tl.load(uses + 2 * use + 1) + offset
        total = tl.zeros((CHUNK, DIM), tl.float32) + tl.load(shifts + run * dim + d, mask=real, other=0.0)[None, :]
        for layer in range(layers):
            at = ((first + unit.to(tl.int64)) * layers + layer)[:, None] * dim + d[None, :]
            stored = tl.load(units + at, mask=inside, other=0.0).to(tl.float32)
            total += stored * tl.load(factors + (run * layers + layer) * dim + d, mask=real, other=0.0)[None, :]
        mean = tl.sum(total, 1) / dim
        centred = tl.where(inside, total - mean[:, None], 0.0)
        scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / dim + epsilon)
        rows = row.to(tl.int64) + unit
        tl.store(out + rows[:, None] * dim + d[None, :], centred * scale[:, None], mask=inside)
        tl.store(deviations + rows, scale, mask=unit < count)


@triton.jit
@no_type_check
def row_means(gradient, out, means, rows, dim, ROWS: tl.constexpr, DIM: tl.constexpr):
    """Per row the means of the gradient and of gradient times value, which the gradient of a normalisation needs."""
    row, d = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, DIM)
    inside = (row < rows)[:, None] & (d < dim)[None, :]
    at = row.to(tl.int64)[:, None] * dim + d[None, :]
    came = tl.load(gradient + at, mask=inside, other=0.0).to(tl.float32)
    value = tl.load(out + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(means + 2 * row, tl.sum(came, 1) / dim, mask=row < rows)
    tl.store(means + 2 * row + 1, tl.sum(came * value, 1) / dim, mask=row < rows)


@triton.jit
@no_type_check
def linear_row_means(
    gradient, hidden, weight_sums, biases, means, tiles, scale, outputs, dim,
    ACTIVE: tl.constexpr, ROWS: tl.constexpr, OUTPUTS: tl.constexpr,
):  # fmt: skip
    """`row_means` of the gradient that a linear layer passes back, from the layer's own sums alone.

    With g = W^T p: sum_d g_d = p . (W 1), and sum_d g_d x_d = p . (W x), which is the layer's output less its bias. Where p is
    not zero neither ReLU nor dropout took the output away.
    """
    tile = tiles + 4 * tl.program_id(0)
    run, start, end = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2)
    row = start + tl.arange(0, ROWS)
    plain, along = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)
    for taken in range(0, outputs, OUTPUTS):
        column = taken + tl.arange(0, OUTPUTS)
        real = column < outputs
        inside = (row < end)[:, None] & real[None, :]
        at = row.to(tl.int64)[:, None] * outputs + column[None, :]
        out = tl.load(hidden + at, mask=inside, other=0.0).to(tl.float32)
        came = tl.load(gradient + at, mask=inside, other=0.0).to(tl.float32)
        if ACTIVE:
            came = tl.where(out <= 0, 0.0, came * scale)
        plain += tl.sum(came * tl.load(weight_sums + run * outputs + column, mask=real, other=0.0)[None, :], 1)
        bias = tl.load(biases + run * outputs + column, mask=real, other=0.0)
        along += tl.sum(came * (out / scale - bias[None, :]), 1)
    tl.store(means + 2 * row, plain / dim, mask=row < end)
    tl.store(means + 2 * row + 1, along / dim, mask=row < end)


@triton.jit
@no_type_check
def average_backward(
    units, gradient, factors, hidden, weights, out, deviations, means, chunks, uses, of_factors, of_shifts,
    layers, dim, outputs, scale,
    SHARED: tl.constexpr, NORM: tl.constexpr, LINEAR: tl.constexpr, ACTIVE: tl.constexpr, PRECISION: tl.constexpr,
    CHUNK: tl.constexpr, LAYERS: tl.constexpr, DIM: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """What the gradients of factors and shifts owe to a chunk, for every use of it and a part of the dimensions.

    The gradient of a row of `out` is `gradient`, or where LINEAR `W_r^T` times the gradient of the layer after it, which is made
    here, tile by tile, and never stored. Without NORM it is that of the sums themselves,
    with factors where SHARED.
    """
    chunk = chunks + 6 * tl.program_id(0)
    first, count, offset = tl.load(chunk).to(tl.int64), tl.load(chunk + 1), tl.load(chunk + 2)
    begin, end, part = tl.load(chunk + 3), tl.load(chunk + 4), tl.load(chunk + 5).to(tl.int64)
    d, layer = tl.program_id(1) * DIM + tl.arange(0, DIM), tl.arange(0, LAYERS)
    real = d < dim
    for use in range(begin, end):
        run, row = tl.load(uses + 2 * use), tl.load(uses + 2 * use + 1) + offset
        total, shift = tl.zeros((LAYERS, DIM), tl.float32), tl.zeros((DIM,), tl.float32)
        for taken in range(0, count, CHUNK):
            unit = taken + tl.arange(0, CHUNK)
            rows = row.to(tl.int64) + unit
            there = unit < count
            inside = there[:, None] & real[None, :]
            at = rows[:, None] * dim + d[None, :]
            if LINEAR:
                came = tl.zeros((CHUNK, DIM), tl.float32)
                for output in range(0, outputs, DEPTH):
                    depth = output + tl.arange(0, DEPTH)
                    known = (depth < outputs)[None, :] & there[:, None]
                    left = tl.load(gradient + rows[:, None] * outputs + depth[None, :], mask=known, other=0.0).to(tl.float32)
                    if ACTIVE:
                        gave = tl.load(hidden + rows[:, None] * outputs + depth[None, :], mask=known, other=0.0).to(tl.float32)
                        left = tl.where(gave <= 0, 0.0, left * scale)
                    own = run.to(tl.int64) * outputs * dim + depth[:, None] * dim + d[None, :]
                    right = tl.load(weights + own, mask=(depth < outputs)[:, None] & real[None, :], other=0.0)
                    came = product(left, right, came, PRECISION)
            else:
                came = expanded(gradient, factors, dim, rows, d, dim, inside, SHARED)
            owed = came
            if NORM:
                value = tl.load(out + at, mask=inside, other=0.0).to(tl.float32)
                plain = tl.load(means + 2 * rows, mask=there, other=0.0)
                along = tl.load(means + 2 * rows + 1, mask=there, other=0.0)
                factor = tl.load(deviations + rows, mask=there, other=0.0)
                owed = tl.where(inside, factor[:, None] * (came - plain[:, None] - value * along[:, None]), 0.0)
            stored = tl.load(
                units + ((first + unit)[:, None, None] * layers + layer[None, :, None]) * dim + d[None, None, :],
                mask=inside[:, None, :] & (layer < layers)[None, :, None], other=0.0,
            )  # fmt: skip
            total += tl.sum(stored.to(tl.float32) * owed[:, None, :], 0)
            shift += tl.sum(owed, 0)
        place = part + (use - begin)
        known = (layer < layers)[:, None] & real[None, :]
        tl.store(of_factors + (place * layers + layer[:, None]) * dim + d[None, :], total, mask=known)
        tl.store(of_shifts + place * dim + d, shift, mask=real)


@triton.jit
@no_type_check
def add_parts(parts, out, order, bounds, runs, size, SIZE: tl.constexpr):
    """The sum of each run's parts, in the order of the chunks."""
    run, at = tl.program_id(0), tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    total = tl.zeros((SIZE,), tl.float32)
    for number in range(tl.load(bounds + run), tl.load(bounds + runs + run)):
        part = tl.load(order + number).to(tl.int64)
        total += tl.load(parts + part * size + at, mask=at < size, other=0.0)
    tl.store(out + run.to(tl.int64) * size + at, total, mask=at < size)
