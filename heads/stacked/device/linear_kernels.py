"""Linear layers of many runs at once, in Triton: each tile of rows belongs to one run and meets that run's weights.

ReLU and dropout are part of the product that makes their input, and of the products that take their gradient: a hidden
value is written once. Programs of one tile of rows follow one another, so that the tile comes from memory once and the weights
stay in the cache. Sums over rows are made in one program, in the order of the rows, so that they are the same every time.
"""

from typing import no_type_check

import triton
import triton.language as tl

from mer.heads.stacked.device.adam_kernel import move


@triton.jit
@no_type_check
def mixed(word):
    """Wellons' lowbias32 of unsigned words, see `draws`."""
    word = (word ^ (word >> 16)) * 0x7FEB352D
    word = (word ^ (word >> 15)) * 0x846CA68B
    return word ^ (word >> 16)


@triton.jit
@no_type_check
def stays(place, keys, run, call, dropped):
    """Whether the value at a place of a run stays, see `draws.kept`."""
    first = tl.load(keys + 2 * run).to(tl.uint32, bitcast=True)
    second = tl.load(keys + 2 * run + 1).to(tl.uint32, bitcast=True)
    word = mixed(mixed(place.to(tl.uint32) ^ first) + (second + call.to(tl.uint32) * 0x9E3779B9))
    return (word >> 16) >= dropped.to(tl.uint32)


@triton.jit
@no_type_check
def product(left, right, total, PRECISION: tl.constexpr):
    """`total + left @ right`, in the precision that `DevicePath.dot` names."""
    if PRECISION == "bfloat16":
        total = tl.dot(left.to(tl.bfloat16), right.to(tl.bfloat16), total)
    elif PRECISION == "rounded":
        left, right = left.to(tl.bfloat16), right.to(tl.bfloat16)
        total = tl.dot(left.to(tl.float32), right.to(tl.float32), total, input_precision="ieee")
    else:
        total = tl.dot(left.to(tl.float32), right.to(tl.float32), total, input_precision=PRECISION)
    return total


@triton.jit
@no_type_check
def packed(keep, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Truths of a tile, 32 columns to a word."""
    return tl.sum(tl.reshape(keep.to(tl.int32), (ROWS, COLUMNS // 32, 32)) << tl.arange(0, 32)[None, None, :], 2)


@triton.jit
@no_type_check
def passed(where, rows, columns, wide, mask, BITS: tl.constexpr):
    """Whether ReLU and dropout let a value out, of rows of `wide`: from bits that `packed` has made, or the values themselves."""
    if BITS:
        at = rows.to(tl.int64)[:, None] * ((wide + 31) // 32) + (columns // 32)[None, :]
        found = ((tl.load(where + at, mask=mask, other=0) >> (columns % 32)[None, :]) & 1) != 0
    else:
        at = rows.to(tl.int64)[:, None] * wide + columns[None, :]
        # A NaN passes, so that a run that diverges is found out.
        found = ~(tl.load(where + at, mask=mask, other=0.0).to(tl.float32) <= 0)
    return found


@triton.jit
@no_type_check
def factors_of(total):
    """Per row of a tile a power of two that brings its largest value below 2^15; see `Shared`."""
    most = tl.max(tl.abs(total), 1)
    # Zero has no exponent, and neither have infinity and NaN, which stay what they are.
    usual = (most > 0) & (most < float("inf"))
    exponent = tl.floor(tl.log2(tl.where(usual, most, 1.0))) - 14
    return tl.where(usual, tl.exp2(tl.maximum(exponent, -126.0)), 1.0)


@triton.jit
@no_type_check
def expanded(values, factors, span, rows, columns, wide, mask, SHARED: tl.constexpr):
    """A tile of rows of `wide` values in float32; with SHARED each block of 128 of a span has a factor of its own."""
    found = tl.load(values + rows.to(tl.int64)[:, None] * wide + columns[None, :], mask=mask, other=0.0).to(tl.float32)
    if SHARED:
        blocks = (span + 127) // 128
        at = rows.to(tl.int64)[:, None] * ((wide // span) * blocks)
        at += (columns // span * blocks + columns % span // 128)[None, :]
        found *= tl.load(factors + at, mask=mask, other=0.0)
    return found


@triton.jit
@no_type_check
def loaded(values, factors, span, rows, columns, wide, mask, SHARED: tl.constexpr):
    """`expanded` where there are factors; else values as they are stored, which a product may take as they are."""
    if SHARED:
        found = expanded(values, factors, span, rows, columns, wide, mask, True)
    else:
        found = tl.load(values + rows.to(tl.int64)[:, None] * wide + columns[None, :], mask=mask, other=0.0)
    return found


@triton.jit
@no_type_check
def store_shared(out, factors, rows, total, dim, there, ROWS: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr):
    """Store whole rows of `dim` values that share factors, those of the rows that are `there`."""
    d, block, blocks = tl.arange(0, DIM), tl.arange(0, DIM // BLOCK), (dim + 127) // 128
    inside = there[:, None] & (d < dim)[None, :]
    # What is beyond a row's end counts for nothing.
    parts = tl.reshape(tl.where(inside, total, 0.0), (ROWS * (DIM // BLOCK), BLOCK))
    factor = factors_of(parts)
    known = there[:, None] & (block < blocks)[None, :]
    below = rows.to(tl.int64)[:, None] * blocks + block[None, :]
    tl.store(factors + below, tl.reshape(factor, (ROWS, DIM // BLOCK)), mask=known)
    at = rows.to(tl.int64)[:, None] * dim + d[None, :]
    tl.store(out + at, tl.reshape(parts / factor[:, None], (ROWS, DIM)), mask=inside)


@triton.jit
@no_type_check
def gradient_before(
    gradient, factors, span, where, rows, columns, wide, mask, scale,
    SHARED: tl.constexpr, ACTIVE: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """The gradient of a layer's sums: where ReLU and dropout let a value out, `scale` times what comes back."""
    found = expanded(gradient, factors, span, rows, columns, wide, mask, SHARED)
    if ACTIVE:
        found = tl.where(passed(where, rows, columns, wide, mask, BITS), found * scale, 0.0)
    return found


@triton.jit
@no_type_check
def scaled(values, gains, shifts, at, mask, AFFINE: tl.constexpr):
    """A tile of rows with the gain and bias that its columns have; without AFFINE as it is."""
    if AFFINE:
        gain, shift = tl.load(gains + at, mask=mask, other=0.0), tl.load(shifts + at, mask=mask, other=0.0)
        values = values.to(tl.float32) * gain[None, :] + shift[None, :]
    return values


@triton.jit(do_not_specialize=["call", "dropped"])
@no_type_check
def linear_forward(
    values, value_factors, span, gains, shifts, weights, biases, out, factors, bits, tiles, keys, call, dropped, scale,
    outputs, inputs, heads, of_run, of_head, of_output, of_input,
    SHARED: tl.constexpr, AFFINE: tl.constexpr, RELU: tl.constexpr, DROPOUT: tl.constexpr, KEEP: tl.constexpr,
    SHARE: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """`dropout(relu(W_r x + b_r))` of a tile of rows and of outputs.

    With attention heads, of which each has its own weights, rows hold the values of one head after the other. `of_run` to
    `of_input` are the strides of the weights. With AFFINE `x` is made of the values by each run's gains and shifts; with KEEP the
    bits say which values ReLU and dropout let out. With SHARED values have factors, with SHARE what is given gets some.
    """
    head, across, wide = tl.program_id(2), heads * inputs, heads * outputs
    tile = tiles + 4 * tl.program_id(1)
    run, start, end, first = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2), tl.load(tile + 3)
    rows, columns = start + tl.arange(0, ROWS), tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside, wanted = rows < end, columns < outputs
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    own = weights + run.to(tl.int64) * of_run + head * of_head
    for taken in range(0, inputs, DEPTH):
        depth = taken + tl.arange(0, DEPTH)
        known = inside[:, None] & (depth < inputs)[None, :]
        left = loaded(values, value_factors, span, rows, head * inputs + depth, across, known, SHARED)
        left = scaled(left, gains, shifts, run * across + head * inputs + depth, depth < inputs, AFFINE)
        right = tl.load(
            own + columns[None, :] * of_output + depth[:, None] * of_input,
            mask=wanted[None, :] & (depth < inputs)[:, None],
            other=0.0,
        )
        total = product(left, right, total, PRECISION)
    total += tl.load(biases + (run * heads + head) * outputs + columns, mask=wanted, other=0.0)[None, :]
    if RELU:
        total = tl.where(total <= 0, 0.0, total)
    if DROPOUT:
        place = (rows - first)[:, None] * wide + head * outputs + columns[None, :]
        total *= tl.where(stays(place, keys, run, call, dropped), scale, 0.0)
    if KEEP:
        words, word = (outputs + 31) // 32, tl.program_id(0) * (COLUMNS // 32) + tl.arange(0, COLUMNS // 32)
        below = rows.to(tl.int64)[:, None] * words + word[None, :]
        tl.store(bits + below, packed(~(total <= 0), ROWS, COLUMNS), mask=inside[:, None] & (word < words)[None, :])
    at = rows.to(tl.int64)[:, None] * wide + head * outputs + columns[None, :]
    if SHARE:
        factor = factors_of(total)
        place = (rows.to(tl.int64) * heads + head) * ((outputs + 127) // 128) + tl.program_id(0)
        tl.store(factors + place, factor, mask=inside)
        total /= factor[:, None]
    tl.store(out + at, total, mask=inside[:, None] & wanted[None, :])


@triton.jit
@no_type_check
def linear_of_inputs(
    gradient, factors, span, where, weights, out, out_factors, before, more, more_factors, more_span, tiles,
    scale, scale_before, outputs, inputs, heads,
    of_run, of_head, of_output, of_input,
    SHARED: tl.constexpr, ACTIVE: tl.constexpr, BITS: tl.constexpr, BEFORE: tl.constexpr, MORE: tl.constexpr,
    MORE_SHARED: tl.constexpr, SHARE: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """The gradient of `x` of a tile of rows and of inputs; with BEFORE of the sums of the layer before, whose output `x` is.

    With MORE what another use of `x` owes is added.
    """
    head, across, wide = tl.program_id(2), heads * inputs, heads * outputs
    tile = tiles + 4 * tl.program_id(1)
    run, start, end = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2)
    rows, columns = start + tl.arange(0, ROWS), tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside, wanted = rows < end, columns < inputs
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    own = weights + run.to(tl.int64) * of_run + head * of_head
    for taken in range(0, outputs, DEPTH):
        depth = taken + tl.arange(0, DEPTH)
        known = inside[:, None] & (depth < outputs)[None, :]
        place = head * outputs + depth
        left = gradient_before(gradient, factors, span, where, rows, place, wide, known, scale, SHARED, ACTIVE, BITS)
        right = tl.load(
            own + depth[:, None] * of_output + columns[None, :] * of_input,
            mask=(depth < outputs)[:, None] & wanted[None, :],
            other=0.0,
        )
        total = product(left, right, total, PRECISION)
    at = rows.to(tl.int64)[:, None] * across + head * inputs + columns[None, :]
    if BEFORE:
        keep = passed(before, rows, columns, across, inside[:, None] & wanted[None, :], True)
        total = tl.where(keep, total * scale_before, 0.0)
    if MORE:
        place = head * inputs + columns
        total += expanded(more, more_factors, more_span, rows, place, across, inside[:, None] & wanted[None, :], MORE_SHARED)
    if SHARE:
        factor = factors_of(total)
        place = (rows.to(tl.int64) * heads + head) * ((inputs + 127) // 128) + tl.program_id(0)
        tl.store(out_factors + place, factor, mask=inside)
        total /= factor[:, None]
    tl.store(out + at, total, mask=inside[:, None] & wanted[None, :])


@triton.jit
@no_type_check
def linear_of_weights(
    gradient, factors, span, where, values, value_factors, value_span, gains, shifts, of_weights, of_biases,
    firsts, seconds, scalars, copies, bounds, runs, scale,
    outputs, inputs, heads, of_run, of_head, of_output, of_input, first_decay, second_decay, epsilon,
    VALUES_SHARED: tl.constexpr, AFFINE: tl.constexpr, SHARED: tl.constexpr, ACTIVE: tl.constexpr, BITS: tl.constexpr,
    MOVE: tl.constexpr, COPY: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """The gradients of `W_r` and `b_r`, of a tile of outputs and of inputs, over all rows of a run.

    With MOVE that of `W_r` is not stored, but moves `W_r`, where `of_weights` then points to, and with COPY its copy; see
    `OwnStep`.
    """
    run, head = tl.program_id(2) // heads, tl.program_id(2) % heads
    start, end = tl.load(bounds + run), tl.load(bounds + runs + run)
    above, across = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total, plain = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS,), tl.float32)
    for taken in range(start, end, DEPTH):
        rows = taken + tl.arange(0, DEPTH)
        inside = rows < end
        known = inside[:, None] & (above < outputs)[None, :]
        place = head * outputs + above
        left = gradient_before(gradient, factors, span, where, rows, place, heads * outputs, known, scale, SHARED, ACTIVE, BITS)
        known = inside[:, None] & (across < inputs)[None, :]
        place = head * inputs + across
        right = loaded(values, value_factors, value_span, rows, place, heads * inputs, known, VALUES_SHARED)
        right = scaled(right, gains, shifts, (run * heads + head) * inputs + across, across < inputs, AFFINE)
        total = product(tl.trans(left), right, total, PRECISION)
        plain += tl.sum(left, 0)
    at = run.to(tl.int64) * of_run + head * of_head + above[:, None] * of_output + across[None, :] * of_input
    known = (above < outputs)[:, None] & (across < inputs)[None, :]
    if MOVE:
        rate, root = tl.load(scalars + 2 * run), tl.load(scalars + 2 * run + 1)
        known = (above < tl.where(rate > 0, outputs, 0))[:, None] & (across < inputs)[None, :]
        moved = move(of_weights, firsts, seconds, at, known, total, rate, root, first_decay, second_decay, epsilon)
        if COPY:
            tl.store(copies + at, moved, mask=known)
    else:
        tl.store(of_weights + at, total, mask=known)
    if tl.program_id(1) == 0:
        tl.store(of_biases + tl.program_id(2) * outputs + above, plain, mask=above < outputs)
