"""Products of all pairs of units of an utterance in Triton, of utterances of any lengths and without padding.

Each utterance has `rows`, the units of the longer side, and `columns`, the units of the shorter one times the attention heads,
the heads of a unit together. Scores lie utterance after utterance, row after row. A tile is some rows of one utterance:
first row, row after the utterance's last, its first column, its columns, where its scores begin, and its first row.
"""

from typing import no_type_check

import triton
import triton.language as tl

from mer.heads.stacked.device.linear_kernels import product


@triton.jit
@no_type_check
def pair_scores(
    values, directions, offsets, out, tiles, dim,
    SHIFTED: tl.constexpr, PRECISION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """`values[row] . directions[column]`, plus `offsets[column]` where SHIFTED."""
    tile = tiles + 6 * tl.program_id(0)
    start, end, left, width = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2).to(tl.int64), tl.load(tile + 3)
    begin, first = tl.load(tile + 4).to(tl.int64), tl.load(tile + 5)
    rows = start + tl.arange(0, ROWS)
    inside = rows < end
    for taken in range(0, width, COLUMNS):
        columns = taken + tl.arange(0, COLUMNS)
        wanted = columns < width
        total = tl.zeros((ROWS, COLUMNS), tl.float32)
        for some in range(0, dim, DEPTH):
            depth = some + tl.arange(0, DEPTH)
            real = depth < dim
            at = rows.to(tl.int64)[:, None] * dim + depth[None, :]
            one = tl.load(values + at, mask=inside[:, None] & real[None, :], other=0.0)
            at = (left + columns)[None, :] * dim + depth[:, None]
            other = tl.load(directions + at, mask=wanted[None, :] & real[:, None], other=0.0)
            total = product(one, other, total, PRECISION)
        if SHIFTED:
            total += tl.load(offsets + left + columns, mask=wanted, other=0.0).to(tl.float32)[None, :]
        at = begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :]
        tl.store(out + at, total, mask=inside[:, None] & wanted[None, :])


@triton.jit
@no_type_check
def pair_sums(
    shares, values, more_shares, more_values, more, out, tiles, dim,
    TWO: tl.constexpr, MORE: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Per row `sum_column shares[row, column] values[column]`, of a second pair, too, where TWO, and `more` where MORE."""
    tile = tiles + 6 * tl.program_id(0)
    start, end, left, width = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2).to(tl.int64), tl.load(tile + 3)
    begin, first = tl.load(tile + 4).to(tl.int64), tl.load(tile + 5)
    rows, d = start + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside, real = rows < end, d < dim
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for taken in range(0, width, DEPTH):
        columns = taken + tl.arange(0, DEPTH)
        there = inside[:, None] & (columns < width)[None, :]
        at = begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :]
        below = (left + columns)[:, None] * dim + d[None, :]
        known = (columns < width)[:, None] & real[None, :]
        one = tl.load(shares + at, mask=there, other=0.0)
        total = product(one, tl.load(values + below, mask=known, other=0.0), total, PRECISION)
        if TWO:
            one = tl.load(more_shares + at, mask=there, other=0.0)
            total = product(one, tl.load(more_values + below, mask=known, other=0.0), total, PRECISION)
    at = rows.to(tl.int64)[:, None] * dim + d[None, :]
    if MORE:
        total += tl.load(more + at, mask=inside[:, None] & real[None, :], other=0.0).to(tl.float32)
    tl.store(out + at, total, mask=inside[:, None] & real[None, :])


@triton.jit
@no_type_check
def pair_columns(
    shares, values, out, totals, blocks, dim,
    TOTALS: tl.constexpr, PRECISION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Per column `sum_row shares[row, column] values[row]`, and of the shares alone where TOTALS.

    A block is some columns of one utterance.
    """
    block = blocks + 6 * tl.program_id(0)
    first, end, left, width = tl.load(block), tl.load(block + 1), tl.load(block + 2).to(tl.int64), tl.load(block + 3)
    begin, columns = tl.load(block + 4).to(tl.int64), tl.load(block + 5) + tl.arange(0, ROWS)
    d = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    wanted, real = columns < width, d < dim
    total, plain = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS,), tl.float32)
    for taken in range(first, end, DEPTH):
        rows = taken + tl.arange(0, DEPTH)
        inside = rows < end
        at = begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :]
        one = tl.load(shares + at, mask=inside[:, None] & wanted[None, :], other=0.0)
        at = rows.to(tl.int64)[:, None] * dim + d[None, :]
        other = tl.load(values + at, mask=inside[:, None] & real[None, :], other=0.0)
        total = product(tl.trans(one), other, total, PRECISION)
        plain += tl.sum(one.to(tl.float32), 0)
    if TOTALS:
        if tl.program_id(1) == 0:
            tl.store(totals + left + columns, plain, mask=wanted)
    tl.store(out + (left + columns)[:, None] * dim + d[None, :], total, mask=wanted[:, None] & real[None, :])


@triton.jit
@no_type_check
def softmax_of_columns(
    scores, shares, tiles, heads, BACKWARD: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, HEADS: tl.constexpr
):
    """Softmax over the units of the columns, per row and head, in place; BACKWARD: gradients of shares become those of scores."""
    tile = tiles + 6 * tl.program_id(0)
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
                came = tl.load(scores + at, mask=inside, other=0.0)
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
            score = tl.load(scores + at, mask=inside, other=0.0)
            if BACKWARD:
                share = tl.load(shares + at, mask=inside, other=0.0).to(tl.float32)
                tl.store(scores + at, share * (score - total[:, None, :]), mask=inside)
            else:
                tl.store(shares + at, tl.exp(score - most[:, None, :]) / total[:, None, :], mask=inside)


@triton.jit
@no_type_check
def softmax_of_rows(scores, shares, blocks, BACKWARD: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Softmax over the rows of an utterance, per column, in place; BACKWARD as for `softmax_of_columns`."""
    block = blocks + 6 * tl.program_id(0)
    first, end, width = tl.load(block), tl.load(block + 1), tl.load(block + 3)
    begin, columns = tl.load(block + 4).to(tl.int64), tl.load(block + 5) + tl.arange(0, COLUMNS)
    most, total = tl.full((COLUMNS,), -float("inf"), tl.float32), tl.zeros((COLUMNS,), tl.float32)
    for taken in range(first, end, ROWS):
        rows = taken + tl.arange(0, ROWS)
        inside = (rows < end)[:, None] & (columns < width)[None, :]
        at = begin + (rows - first).to(tl.int64)[:, None] * width + columns[None, :]
        if BACKWARD:
            came = tl.load(scores + at, mask=inside, other=0.0)
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
        score = tl.load(scores + at, mask=inside, other=0.0)
        if BACKWARD:
            share = tl.load(shares + at, mask=inside, other=0.0).to(tl.float32)
            tl.store(scores + at, share * (score - total[None, :]), mask=inside)
        else:
            tl.store(shares + at, tl.exp(score - most[None, :]) / total[None, :], mask=inside)
