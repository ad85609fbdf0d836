"""Products of all pairs of units of an utterance in Triton, of utterances of any lengths and without padding.

Each utterance has `rows`, the units of the longer side, and `columns`, the units of the shorter one times the attention heads,
the heads of a unit together. Scores lie utterance after utterance, row after row. A tile is some rows of one utterance:
first row, row after the utterance's last, its first column, its columns, where its scores begin, its first row, and its run.

Rows may be kept without gain and bias, see `Normed`: with AFFINE a program gives its run's to the rows that it takes. What there
is for each column may have factors, see `Shared`: with COLUMNS_SHARED what is read, with SHARE what is given.
"""

from typing import no_type_check

import triton
import triton.language as tl

from mer.heads.stacked.device.linear_kernels import expanded, factors_of, loaded, product, scaled


@triton.jit
@no_type_check
def pair_scores(
    values, factors, gains, shifts, directions, direction_factors, offsets, more_directions, more_factors, out, more_out,
    tiles, scale, dim, SHARED: tl.constexpr, COLUMNS_SHARED: tl.constexpr, AFFINE: tl.constexpr, SHIFTED: tl.constexpr,
    TWO: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """`scale (values[row] . directions[column] + offsets[column])`, offsets where SHIFTED; with more directions, too, if TWO."""
    tile = tiles + 7 * tl.program_id(0)
    start, end, left, width = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2).to(tl.int64), tl.load(tile + 3)
    begin, first, run = tl.load(tile + 4).to(tl.int64), tl.load(tile + 5), tl.load(tile + 6)
    rows = start + tl.arange(0, ROWS)
    inside = rows < end
    for taken in range(0, width, COLUMNS):
        columns = taken + tl.arange(0, COLUMNS)
        wanted = columns < width
        total, another = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS, COLUMNS), tl.float32)
        for some in range(0, dim, DEPTH):
            depth = some + tl.arange(0, DEPTH)
            real = depth < dim
            one = expanded(values, factors, dim, rows, depth, dim, inside[:, None] & real[None, :], SHARED)
            one = scaled(one, gains, shifts, run * dim + depth, real, AFFINE)
            known = wanted[:, None] & real[None, :]
            other = loaded(directions, direction_factors, dim, left + columns, depth, dim, known, COLUMNS_SHARED)
            total = product(one, tl.trans(other), total, PRECISION)
            if TWO:
                other = loaded(more_directions, more_factors, dim, left + columns, depth, dim, known, COLUMNS_SHARED)
                another = product(one, tl.trans(other), another, PRECISION)
        if SHIFTED:
            total += tl.load(offsets + left + columns, mask=wanted, other=0.0).to(tl.float32)[None, :]
        at = begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :]
        tl.store(out + at, scale * total, mask=inside[:, None] & wanted[None, :])
        if TWO:
            tl.store(more_out + at, scale * another, mask=inside[:, None] & wanted[None, :])


@triton.jit
@no_type_check
def pair_sums(
    shares, values, value_factors, second_shares, second_values, second_factors, third_shares, third_values, third_factors,
    more, more_factors, out, factors, tiles, dim,
    SHARED: tl.constexpr, COLUMNS_SHARED: tl.constexpr, SHARE: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Per row `sum_column shares[row, column] values[column]` of three pairs, and `more`, which has factors where SHARED."""
    tile = tiles + 7 * tl.program_id(0)
    start, end, left, width = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2).to(tl.int64), tl.load(tile + 3)
    begin, first = tl.load(tile + 4).to(tl.int64), tl.load(tile + 5)
    rows, d = start + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside, real = rows < end, d < dim
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for taken in range(0, width, DEPTH):
        columns = taken + tl.arange(0, DEPTH)
        there = inside[:, None] & (columns < width)[None, :]
        at = begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :]
        known, below = (columns < width)[:, None] & real[None, :], left + columns
        one = tl.load(shares + at, mask=there, other=0.0)
        other = loaded(values, value_factors, dim, below, d, dim, known, COLUMNS_SHARED)
        total = product(one, other, total, PRECISION)
        one = tl.load(second_shares + at, mask=there, other=0.0)
        other = loaded(second_values, second_factors, dim, below, d, dim, known, COLUMNS_SHARED)
        total = product(one, other, total, PRECISION)
        one = tl.load(third_shares + at, mask=there, other=0.0)
        other = loaded(third_values, third_factors, dim, below, d, dim, known, COLUMNS_SHARED)
        total = product(one, other, total, PRECISION)
    total += expanded(more, more_factors, dim, rows, d, dim, inside[:, None] & real[None, :], SHARED)
    if SHARE:
        factor = factors_of(total)
        tl.store(factors + rows.to(tl.int64) * ((dim + 127) // 128) + tl.program_id(1), factor, mask=inside)
        total /= factor[:, None]
    at = rows.to(tl.int64)[:, None] * dim + d[None, :]
    tl.store(out + at, total, mask=inside[:, None] & real[None, :])


@triton.jit
@no_type_check
def pair_norm(
    shares, column_outputs, factors, values, gains, shifts, out, deviations, tiles, dim, epsilon,
    COLUMNS_SHARED: tl.constexpr, PRECISION: tl.constexpr, ROWS: tl.constexpr, DIM: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """`LN(x + sum_column shares[row, column] column_outputs[column])` of a part of a tile, x being `gain_r values + bias_r`.

    The factor that made a row is given, too: what attention gives is never stored.
    """
    tile = tiles + 7 * tl.program_id(0)
    start, end, left, width = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2).to(tl.int64), tl.load(tile + 3)
    begin, first, run = tl.load(tile + 4).to(tl.int64), tl.load(tile + 5), tl.load(tile + 6)
    rows, d = start + tl.program_id(1) * ROWS + tl.arange(0, ROWS), tl.arange(0, DIM)
    inside = (rows < end)[:, None] & (d < dim)[None, :]
    at = rows.to(tl.int64)[:, None] * dim + d[None, :]
    total = scaled(tl.load(values + at, mask=inside, other=0.0), gains, shifts, run * dim + d, d < dim, True)
    for taken in range(0, width, DEPTH):
        columns = taken + tl.arange(0, DEPTH)
        there = (rows < end)[:, None] & (columns < width)[None, :]
        one = tl.load(shares + begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :], mask=there, other=0.0)
        known = (columns < width)[:, None] & (d < dim)[None, :]
        other = loaded(column_outputs, factors, dim, left + columns, d, dim, known, COLUMNS_SHARED)
        total = product(one, other, total, PRECISION)
    total = tl.where(inside, total, 0.0)
    centred = tl.where(inside, total - (tl.sum(total, 1) / dim)[:, None], 0.0)
    root = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / dim + epsilon)
    tl.store(deviations + rows, root, mask=rows < end)
    tl.store(out + at, centred * root[:, None], mask=inside)


@triton.jit
@no_type_check
def pair_columns(
    shares, more_shares, values, factors, gains, shifts, out, out_factors, more_out, more_factors, totals, blocks, dim,
    SHARED: tl.constexpr, SHARE: tl.constexpr, AFFINE: tl.constexpr, TWO: tl.constexpr, TOTALS: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Per column `sum_row shares[row, column] values[row]`, and of the shares alone where TOTALS; with more shares where TWO.

    A block is some columns of one utterance.
    """
    block = blocks + 7 * tl.program_id(0)
    first, end, left, width = tl.load(block), tl.load(block + 1), tl.load(block + 2).to(tl.int64), tl.load(block + 3)
    begin, columns, run = tl.load(block + 4).to(tl.int64), tl.load(block + 5) + tl.arange(0, ROWS), tl.load(block + 6)
    d = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    wanted, real = columns < width, d < dim
    total, another = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS, COLUMNS), tl.float32)
    plain = tl.zeros((ROWS,), tl.float32)
    for taken in range(first, end, DEPTH):
        rows = taken + tl.arange(0, DEPTH)
        inside = rows < end
        at = begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :]
        one = tl.load(shares + at, mask=inside[:, None] & wanted[None, :], other=0.0)
        other = expanded(values, factors, dim, rows, d, dim, inside[:, None] & real[None, :], SHARED)
        other = scaled(other, gains, shifts, run * dim + d, real, AFFINE)
        total = product(tl.trans(one), other, total, PRECISION)
        if TWO:
            two = tl.load(more_shares + at, mask=inside[:, None] & wanted[None, :], other=0.0)
            another = product(tl.trans(two), other, another, PRECISION)
        plain += tl.sum(one.to(tl.float32), 0)
    if TOTALS:
        if tl.program_id(1) == 0:
            tl.store(totals + left + columns, plain, mask=wanted)
    at = (left + columns)[:, None] * dim + d[None, :]
    below = (left + columns) * ((dim + 127) // 128) + tl.program_id(1)
    if SHARE:
        factor = factors_of(total)
        tl.store(out_factors + below, factor, mask=wanted)
        total /= factor[:, None]
    tl.store(out + at, total, mask=wanted[:, None] & real[None, :])
    if TWO:
        if SHARE:
            factor = factors_of(another)
            tl.store(more_factors + below, factor, mask=wanted)
            another /= factor[:, None]
        tl.store(more_out + at, another, mask=wanted[:, None] & real[None, :])


@triton.jit
@no_type_check
def softmax_of_columns(
    scores, shares, out, tiles, scale, heads, BACKWARD: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, HEADS: tl.constexpr
):
    """Softmax over the units of the columns, per row and head; BACKWARD: `scale` times what shares owe, from their gradients."""
    tile = tiles + 7 * tl.program_id(0)
    start, end, width, first = tl.load(tile), tl.load(tile + 1), tl.load(tile + 3), tl.load(tile + 5)
    begin, head = tl.load(tile + 4).to(tl.int64), tl.arange(0, HEADS)
    for taken in range(0, tl.minimum(end - start, 64), ROWS):
        rows = start + taken + tl.arange(0, ROWS)
        above = begin + (rows - first).to(tl.int64) * width
        most, total = tl.full((ROWS, HEADS), -float("inf"), tl.float32), tl.zeros((ROWS, HEADS), tl.float32)
        for some in range(0, width, UNITS * heads):
            columns = some + tl.arange(0, UNITS)[:, None] * heads + head[None, :]
            real = (columns < width) & (head < heads)[None, :]
            inside, at = (rows < end)[:, None, None] & real[None, :, :], above[:, None, None] + columns[None, :, :]
            if BACKWARD:
                came = tl.load(scores + at, mask=inside, other=0.0).to(tl.float32)
                total += tl.sum(came * tl.load(shares + at, mask=inside, other=0.0).to(tl.float32), 1)
            else:
                score = tl.load(scores + at, mask=inside, other=-float("inf"))
                higher = tl.maximum(most, tl.max(score, 1))
                # Rows and heads that are not there have no score at all.
                higher = tl.where(higher == -float("inf"), 0.0, higher)
                total = total * tl.exp(most - higher) + tl.sum(tl.exp(score - higher[:, None, :]), 1)
                most = higher
        if not BACKWARD:
            total = tl.where(total == 0, 1.0, total)  # rows that are not there
        for some in range(0, width, UNITS * heads):
            columns = some + tl.arange(0, UNITS)[:, None] * heads + head[None, :]
            real = (columns < width) & (head < heads)[None, :]
            inside, at = (rows < end)[:, None, None] & real[None, :, :], above[:, None, None] + columns[None, :, :]
            score = tl.load(scores + at, mask=inside, other=0.0).to(tl.float32)
            if BACKWARD:
                share = tl.load(shares + at, mask=inside, other=0.0).to(tl.float32)
                tl.store(out + at, scale * share * (score - total[:, None, :]), mask=inside)
            else:
                tl.store(out + at, tl.exp(score - most[:, None, :]) / total[:, None, :], mask=inside)


@triton.jit
@no_type_check
def softmax_of_rows(scores, shares, out, blocks, scale, BACKWARD: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Softmax over the rows of an utterance, per column; BACKWARD as for `softmax_of_columns`."""
    block = blocks + 7 * tl.program_id(0)
    first, end, width = tl.load(block), tl.load(block + 1), tl.load(block + 3)
    begin, columns = tl.load(block + 4).to(tl.int64), tl.load(block + 5) + tl.arange(0, COLUMNS)
    most, total = tl.full((COLUMNS,), -float("inf"), tl.float32), tl.zeros((COLUMNS,), tl.float32)
    for taken in range(first, end, ROWS):
        rows = taken + tl.arange(0, ROWS)
        inside = (rows < end)[:, None] & (columns < width)[None, :]
        at = begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :]
        if BACKWARD:
            came = tl.load(scores + at, mask=inside, other=0.0).to(tl.float32)
            total += tl.sum(came * tl.load(shares + at, mask=inside, other=0.0).to(tl.float32), 0)
        else:
            score = tl.load(scores + at, mask=inside, other=-float("inf"))
            higher = tl.maximum(most, tl.max(score, 0))
            higher = tl.where(higher == -float("inf"), 0.0, higher)
            total = total * tl.exp(most - higher) + tl.sum(tl.exp(score - higher[None, :]), 0)
            most = higher
    if not BACKWARD:
        total = tl.where(total == 0, 1.0, total)  # columns that are not there
    for taken in range(first, end, ROWS):
        rows = taken + tl.arange(0, ROWS)
        inside = (rows < end)[:, None] & (columns < width)[None, :]
        at = begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :]
        score = tl.load(scores + at, mask=inside, other=0.0).to(tl.float32)
        if BACKWARD:
            share = tl.load(shares + at, mask=inside, other=0.0).to(tl.float32)
            tl.store(out + at, scale * share * (score - total[None, :]), mask=inside)
        else:
            tl.store(out + at, tl.exp(score - most[None, :]) / total[None, :], mask=inside)
