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
def gradient_before(gradient, hidden, at, mask, scale, ACTIVE: tl.constexpr):
    """The gradient of a layer's sums: where ReLU and dropout let a value out, `scale` times what comes back."""
    found = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
    if ACTIVE:
        out = tl.load(hidden + at, mask=mask, other=0.0).to(tl.float32)
        # A NaN passes, so that a run that diverges is found out.
        found = tl.where(out <= 0, 0.0, found * scale)
    return found


@triton.jit(do_not_specialize=["call", "dropped"])
@no_type_check
def linear_forward(
    values, weights, biases, out, tiles, keys, call, dropped, scale, outputs, inputs, heads,
    of_run, of_head, of_output, of_input,
    RELU: tl.constexpr, DROPOUT: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """`dropout(relu(W_r x + b_r))` of a tile of rows and of outputs.

    With attention heads, of which each has its own weights, rows hold the values of one head after the other. `of_run` to
    `of_input` are the strides of the weights.
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
        left = tl.load(
            values + rows.to(tl.int64)[:, None] * across + head * inputs + depth[None, :],
            mask=inside[:, None] & (depth < inputs)[None, :], other=0.0,
        )  # fmt: skip
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
    at = rows.to(tl.int64)[:, None] * wide + head * outputs + columns[None, :]
    tl.store(out + at, total, mask=inside[:, None] & wanted[None, :])


@triton.jit
@no_type_check
def linear_of_inputs(
    gradient, hidden, weights, out, before, more, tiles, scale, outputs, inputs, heads, of_run, of_head, of_output, of_input,
    ACTIVE: tl.constexpr, BEFORE: tl.constexpr, MORE: tl.constexpr, PRECISION: tl.constexpr,
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
        at = rows.to(tl.int64)[:, None] * wide + head * outputs + depth[None, :]
        left = gradient_before(gradient, hidden, at, inside[:, None] & (depth < outputs)[None, :], scale, ACTIVE)
        right = tl.load(
            own + depth[:, None] * of_output + columns[None, :] * of_input,
            mask=(depth < outputs)[:, None] & wanted[None, :],
            other=0.0,
        )
        total = product(left, right, total, PRECISION)
    at = rows.to(tl.int64)[:, None] * across + head * inputs + columns[None, :]
    if BEFORE:
        gave = tl.load(before + at, mask=inside[:, None] & wanted[None, :], other=0.0).to(tl.float32)
        total = tl.where(gave <= 0, 0.0, total * scale)
    if MORE:
        total += tl.load(more + at, mask=inside[:, None] & wanted[None, :], other=0.0).to(tl.float32)
    tl.store(out + at, total, mask=inside[:, None] & wanted[None, :])


@triton.jit
@no_type_check
def linear_of_weights(
    gradient, hidden, values, of_weights, of_biases, firsts, seconds, scalars, bounds, runs, scale, outputs, inputs, heads,
    of_run, of_head, of_output, of_input, first_decay, second_decay, epsilon,
    ACTIVE: tl.constexpr, MOVE: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """The gradients of `W_r` and `b_r`, of a tile of outputs and of inputs, over all rows of a run.

    With MOVE that of `W_r` is not stored, but moves `W_r`, where `of_weights` then points to; see `OwnStep`.
    """
    run, head = tl.program_id(2) // heads, tl.program_id(2) % heads
    start, end = tl.load(bounds + run), tl.load(bounds + runs + run)
    above, across = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total, plain = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS,), tl.float32)
    for taken in range(start, end, DEPTH):
        rows = taken + tl.arange(0, DEPTH)
        inside = rows < end
        at = rows.to(tl.int64)[:, None] * heads * outputs + head * outputs + above[None, :]
        left = gradient_before(gradient, hidden, at, inside[:, None] & (above < outputs)[None, :], scale, ACTIVE)
        right = tl.load(
            values + rows.to(tl.int64)[:, None] * heads * inputs + head * inputs + across[None, :],
            mask=inside[:, None] & (across < inputs)[None, :], other=0.0,
        )  # fmt: skip
        total = product(tl.trans(left), right, total, PRECISION)
        plain += tl.sum(left, 0)
    at = run.to(tl.int64) * of_run + head * of_head + above[:, None] * of_output + across[None, :] * of_input
    known = (above < outputs)[:, None] & (across < inputs)[None, :]
    if MOVE:
        rate, root = tl.load(scalars + 2 * run), tl.load(scalars + 2 * run + 1)
        known = (above < tl.where(rate > 0, outputs, 0))[:, None] & (across < inputs)[None, :]
        move(of_weights, firsts, seconds, at, known, total, rate, root, first_decay, second_decay, epsilon)
    else:
        tl.store(of_weights + at, total, mask=known)
    if tl.program_id(1) == 0:
        tl.store(of_biases + tl.program_id(2) * outputs + above, plain, mask=above < outputs)
