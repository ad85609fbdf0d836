"""In which order the runs of a stack go through their training utterances."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from mer.protocol import numpy_generator

Rows = Int64[np.ndarray, " _"]
NO_ROWS = np.empty(0, dtype=np.int64)


def ordered_batches(
    keys: Sequence[tuple[int, int]], train: Sequence[Rows], utterances: int, size: int
) -> tuple[list[int], list[Rows], list[list[Rows]]]:
    """Which runs go through the corpus in one order, the place of every row in each order, and the batches of each run.

    Args:
        keys: seed and epoch of each run, which decide its order.
        train: the rows of each run.
        utterances: rows of the corpus.
        size: rows of a batch.
    """
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    orders = [numpy_generator(seed, "order", epoch).permutation(utterances) for seed, epoch in numbers]
    groups = [numbers[key] for key in keys]
    batches = []
    for rows, group in zip(train, groups, strict=True):
        member = np.zeros(utterances, dtype=np.bool_)
        member[rows] = True
        batches.append(cut(orders[group][member[orders[group]]], size))
    return groups, [np.argsort(order) for order in orders], batches


def cut(rows: Rows, size: int) -> list[Rows]:
    """Batches of rows; the last one takes what is left."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
