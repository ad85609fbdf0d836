"""Length-sorted batches under a padded budget."""

from collections.abc import Sequence


def batches_by_budget(sizes: Sequence[float], budget: float | None) -> list[list[int]]:
    """Group positions so that padded size, rows x longest, stays within a budget.

    Sorted by size, longest first (the batch that could run out of memory is the first one, not the last), ties by
    position, so the same sizes give the same batches. An item larger than the budget is a batch of its own.

    Args:
        sizes: Size of each item, in any unit.
        budget: Largest padded size of a batch; None puts every item in a batch of its own, in the given order.
    """
    if budget is None:
        return [[position] for position in range(len(sizes))]
    batches: list[list[int]] = []
    for position in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if batches and (len(batches[-1]) + 1) * sizes[batches[-1][0]] <= budget:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches
