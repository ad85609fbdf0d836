"""One step of Adam for every parameter of every run of a stack, in one kernel."""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def move(weights, firsts, seconds, at, mask, gradient, rate, root, first_decay, second_decay, epsilon):
    """Kingma and Ba 2015, algorithm 1, of the values at some places; gives what they are moved to."""
    first = tl.load(firsts + at, mask=mask, other=0.0)
    first += (1 - first_decay) * (gradient - first)
    second = tl.load(seconds + at, mask=mask, other=0.0) * second_decay + (1 - second_decay) * gradient * gradient
    value = tl.load(weights + at, mask=mask, other=0.0) - rate * first / (tl.sqrt(second) * root + epsilon)
    tl.store(firsts + at, first, mask=mask)
    tl.store(seconds + at, second, mask=mask)
    tl.store(weights + at, value, mask=mask)
    return value


@triton.jit
@no_type_check
def adam(
    addresses, tiles, scalars, runs, first_decay, second_decay, epsilon,
    SIZE: tl.constexpr,
):  # fmt: skip
    """Move a tile of one parameter of one run; a run without rows keeps everything as it is.

    `addresses` has parameter, gradient and both moments of each parameter, whose runs follow one another, and the values of one
    run; `tiles` parameter, run and first value; `scalars` the step size over 1 - beta1^t, and 1 / sqrt(1 - beta2^t), of each run.
    """
    tile = tiles + 3 * tl.program_id(0)
    parameter, run, start = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2)
    rate, root = tl.load(scalars + 2 * run), tl.load(scalars + 2 * run + 1)
    row = addresses + 5 * parameter
    size = tl.load(row + 4)
    place = start + tl.arange(0, SIZE)
    inside, at = place < tl.where(rate > 0, size, 0), run * size + place
    weights, gradients = tl.load(row).to(tl.pointer_type(tl.float32)), tl.load(row + 1).to(tl.pointer_type(tl.float32))
    firsts, seconds = tl.load(row + 2).to(tl.pointer_type(tl.float32)), tl.load(row + 3).to(tl.pointer_type(tl.float32))
    gradient = tl.load(gradients + at, mask=inside, other=0.0)
    move(weights, firsts, seconds, at, inside, gradient, rate, root, first_decay, second_decay, epsilon)
