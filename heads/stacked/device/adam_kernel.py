"""One step of Adam for every parameter of every run of a stack, in one kernel."""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def adam(
    addresses, tiles, scalars, runs, first_decay, second_decay, epsilon,
    SIZE: tl.constexpr,
):  # fmt: skip
    """Kingma and Ba 2015, algorithm 1, for a tile of one parameter of one run; a run without rows keeps everything as it is.

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
    weights = tl.load(row).to(tl.pointer_type(tl.float32)) + at
    gradient = tl.load(tl.load(row + 1).to(tl.pointer_type(tl.float32)) + at, mask=inside, other=0.0)
    firsts, seconds = tl.load(row + 2).to(tl.pointer_type(tl.float32)) + at, tl.load(row + 3).to(tl.pointer_type(tl.float32)) + at
    first = tl.load(firsts, mask=inside, other=0.0)
    first += (1 - first_decay) * (gradient - first)
    second = tl.load(seconds, mask=inside, other=0.0) * second_decay + (1 - second_decay) * gradient * gradient
    value = tl.load(weights, mask=inside, other=0.0) - rate * first / (tl.sqrt(second) * root + epsilon)
    tl.store(firsts, first, mask=inside)
    tl.store(seconds, second, mask=inside)
    tl.store(weights, value, mask=inside)
