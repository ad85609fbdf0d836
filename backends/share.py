"""A worker's own share of a stream of tasks, found without talking to the others."""

import heapq
from collections.abc import Iterable, Iterator

from mer.backends.work import BackendError, Task


def own_share(tasks: Iterable[Task], rank: int, world: int) -> Iterator[Task]:
    """Tasks of one rank: each task in turn goes to the rank with the least cost so far (Graham, 1966, list scheduling).

    Args:
        tasks: the same stream for every rank: all tasks, those that are done included.
        rank: whose tasks are wanted, from 0.
        world: number of ranks.

    Raises:
        BackendError: unless 0 <= rank < world.
    """
    if not 0 <= rank < world:
        raise BackendError(f"shard rank {rank} of {world}: ranks go from 0 to the number of shares less 1")
    return (task for number, task in dealt(tasks, world) if number == rank)


def dealt(tasks: Iterable[Task], world: int) -> Iterator[tuple[int, Task]]:
    """Every task with the rank that it goes to."""
    loads = [(0.0, 0, number) for number in range(world)]  # cost, tasks, rank
    for task in tasks:
        cost, count, number = loads[0]
        heapq.heapreplace(loads, (cost + task.cost, count + 1, number))
        yield number, task
