"""Layer normalisation of a residual link in Triton, each run with its own gain and bias, and dropout of what is added."""

from typing import no_type_check

import triton
import triton.language as tl

from mer.heads.stacked.device.linear_kernels import stays


@triton.jit(do_not_specialize=["call", "dropped"])
@no_type_check
def norm_forward(
    values, added, gains, biases, out, tiles, keys, call, dropped, scale, dim, epsilon,
    NORM: tl.constexpr, ADD: tl.constexpr, DROPOUT: tl.constexpr, TILE: tl.constexpr, ROWS: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    """`gain_r LN(values + dropout(added)) + bias_r` of a tile of rows; without NORM the sum itself is scaled and shifted."""
    tile = tiles + 4 * tl.program_id(0)
    run, start, end, first = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2), tl.load(tile + 3)
    d = tl.arange(0, DIM)
    gain = tl.load(gains + run * dim + d, mask=d < dim, other=0.0)[None, :]
    bias = tl.load(biases + run * dim + d, mask=d < dim, other=0.0)[None, :]
    for taken in range(0, tl.minimum(end - start, TILE), ROWS):
        rows = start + taken + tl.arange(0, ROWS)
        inside, at = (rows < end)[:, None] & (d < dim)[None, :], rows.to(tl.int64)[:, None] * dim + d[None, :]
        total = tl.load(values + at, mask=inside, other=0.0).to(tl.float32)
        if ADD:
            more = tl.load(added + at, mask=inside, other=0.0).to(tl.float32)
            if DROPOUT:
                place = (rows - first)[:, None] * dim + d[None, :]
                more *= tl.where(stays(place, keys, run, call, dropped), scale, 0.0)
            total += more
        if NORM:
            centred = tl.where(inside, total - (tl.sum(total, 1) / dim)[:, None], 0.0)
            total = centred / tl.sqrt(tl.sum(centred * centred, 1) / dim + epsilon)[:, None]
        tl.store(out + at, total * gain + bias, mask=inside)


@triton.jit(do_not_specialize=["call", "dropped"])
@no_type_check
def norm_backward(
    gradient, values, added, gains, of_values, of_added, of_gains, of_biases, tiles, keys, call, dropped, scale, dim, epsilon,
    NORM: tl.constexpr, ADD: tl.constexpr, DROPOUT: tl.constexpr, TILE: tl.constexpr, ROWS: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    """Gradients of both summands (of the values alone where nothing is dropped), and what gain and bias owe to a tile."""
    number = tl.program_id(0)
    tile = tiles + 4 * number
    run, start, end, first = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2), tl.load(tile + 3)
    d = tl.arange(0, DIM)
    gain = tl.load(gains + run * dim + d, mask=d < dim, other=0.0)[None, :]
    of_gain, of_bias = tl.zeros((DIM,), tl.float32), tl.zeros((DIM,), tl.float32)
    for taken in range(0, tl.minimum(end - start, TILE), ROWS):
        rows = start + taken + tl.arange(0, ROWS)
        inside, at = (rows < end)[:, None] & (d < dim)[None, :], rows.to(tl.int64)[:, None] * dim + d[None, :]
        came = tl.load(gradient + at, mask=inside, other=0.0).to(tl.float32)
        total = tl.load(values + at, mask=inside, other=0.0).to(tl.float32)
        factor = tl.zeros((ROWS, DIM), tl.float32)
        if ADD:
            more = tl.load(added + at, mask=inside, other=0.0).to(tl.float32)
            if DROPOUT:
                place = (rows - first)[:, None] * dim + d[None, :]
                factor = tl.where(stays(place, keys, run, call, dropped), scale, 0.0)
                more *= factor
            total += more
        owed = came * gain
        if NORM:
            centred = tl.where(inside, total - (tl.sum(total, 1) / dim)[:, None], 0.0)
            root = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / dim + epsilon)
            total = centred * root[:, None]
            plain, along = tl.sum(owed, 1) / dim, tl.sum(owed * total, 1) / dim
            owed = root[:, None] * (owed - plain[:, None] - total * along[:, None])
        of_gain += tl.sum(came * total, 0)
        of_bias += tl.sum(came, 0)
        tl.store(of_values + at, owed, mask=inside)
        if DROPOUT:
            tl.store(of_added + at, owed * factor, mask=inside)
    tl.store(of_gains + number * dim + d, of_gain, mask=d < dim)
    tl.store(of_biases + number * dim + d, of_bias, mask=d < dim)
