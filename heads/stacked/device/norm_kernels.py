"""Layer normalisation of a residual link in Triton, and dropout of what is added.

Only the normalised rows are written, with the factor that made them: they are all that the backward pass needs, and
whoever reads them gives them their gain and bias, see `Normed`.
"""

from typing import no_type_check

import triton
import triton.language as tl

from mer.heads.stacked.device.linear_kernels import expanded, packed, stays, store_shared


@triton.jit(do_not_specialize=["call", "dropped"])
@no_type_check
def norm_forward(
    values, gains, shifts, added, factors, out, deviations, bits, tiles, keys, call, dropped, scale, dim, words, epsilon,
    NORM: tl.constexpr, AFFINE: tl.constexpr, ADD: tl.constexpr, SHARED: tl.constexpr, DROPOUT: tl.constexpr,
    TILE: tl.constexpr, ROWS: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    """`LN(gain_r values + bias_r + dropout(added))` of a tile of rows; `bits` says what dropout keeps. Without NORM the sum."""
    tile = tiles + 4 * tl.program_id(0)
    run, start, end, first = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2), tl.load(tile + 3)
    d, word = tl.arange(0, DIM), tl.arange(0, DIM // 32)
    if AFFINE:
        gain = tl.load(gains + run * dim + d, mask=d < dim, other=0.0)[None, :]
        shift = tl.load(shifts + run * dim + d, mask=d < dim, other=0.0)[None, :]
    for taken in range(0, tl.minimum(end - start, TILE), ROWS):
        rows = start + taken + tl.arange(0, ROWS)
        inside, at = (rows < end)[:, None] & (d < dim)[None, :], rows.to(tl.int64)[:, None] * dim + d[None, :]
        total = tl.load(values + at, mask=inside, other=0.0).to(tl.float32)
        if AFFINE:
            total = total * gain + shift
        if ADD:
            more = expanded(added, factors, dim, rows, d, dim, inside, SHARED)
            if DROPOUT:
                keep = stays((rows - first)[:, None] * dim + d[None, :], keys, run, call, dropped)
                more *= tl.where(keep, scale, 0.0)
                below = (rows < end)[:, None] & (word < words)[None, :]
                tl.store(bits + rows.to(tl.int64)[:, None] * words + word[None, :], packed(keep, ROWS, DIM), mask=below)
            total += more
        if NORM:
            total = tl.where(inside, total, 0.0)
            centred = tl.where(inside, total - (tl.sum(total, 1) / dim)[:, None], 0.0)
            root = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / dim + epsilon)
            total = centred * root[:, None]
            tl.store(deviations + rows, root, mask=rows < end)
        tl.store(out + at, total, mask=inside)


@triton.jit
@no_type_check
def norm_backward(
    gradient, factors, owners, out, deviations, gains, owed, owed_factors, of_gains, of_biases, tiles, dim,
    OWNED: tl.constexpr, SHARED: tl.constexpr, SHARE: tl.constexpr,
    TILE: tl.constexpr, ROWS: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of what was normalised, from that of `gain_r out + bias_r`, and what gain and bias owe to a tile.

    With SHARED the gradient has factors, with SHARE what is found gets some. With OWNED a row's gradient is that of its owner.
    """
    number = tl.program_id(0)
    tile = tiles + 4 * number
    run, start, end = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2)
    d = tl.arange(0, DIM)
    gain = tl.load(gains + run * dim + d, mask=d < dim, other=0.0)[None, :]
    of_gain, of_bias = tl.zeros((DIM,), tl.float32), tl.zeros((DIM,), tl.float32)
    for taken in range(0, tl.minimum(end - start, TILE), ROWS):
        rows = start + taken + tl.arange(0, ROWS)
        inside, at = (rows < end)[:, None] & (d < dim)[None, :], rows.to(tl.int64)[:, None] * dim + d[None, :]
        above = rows
        if OWNED:
            above = tl.load(owners + rows, mask=rows < end, other=0)
        came = expanded(gradient, factors, dim, above, d, dim, inside, SHARED)
        value = tl.load(out + at, mask=inside, other=0.0).to(tl.float32)
        found, root = came * gain, tl.load(deviations + rows, mask=rows < end, other=0.0)
        plain, along = tl.sum(found, 1) / dim, tl.sum(found * value, 1) / dim
        found = root[:, None] * (found - plain[:, None] - value * along[:, None])
        of_gain += tl.sum(came * value, 0)
        of_bias += tl.sum(came, 0)
        if SHARE:
            store_shared(owed, owed_factors, rows, found, dim, rows < end, ROWS, DIM, BLOCK)
        else:
            tl.store(owed + at, found, mask=inside)
    tl.store(of_gains + number * dim + d, of_gain, mask=d < dim)
    tl.store(of_biases + number * dim + d, of_bias, mask=d < dim)
