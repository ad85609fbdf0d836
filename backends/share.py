"""A worker's own share of a stream of units, found without talking to the others."""

import heapq
from collections.abc import Iterable, Iterator

from mer.backends.work import BackendError, Unit


def own_share(units: Iterable[Unit], rank: int, world: int) -> Iterator[Unit]:
    """Units of one rank: each unit in turn goes to the rank with the least cost so far (Graham, 1966, list scheduling).

    Args:
        units: the same stream for every rank: all units, those that are done included.
        rank: whose units are wanted, from 0.
        world: number of ranks.

    Raises:
        BackendError: unless 0 <= rank < world.
    """
    if not 0 <= rank < world:
        raise BackendError(f"shard rank {rank} of {world}: ranks go from 0 to the number of shares less 1")
    return (unit for number, unit in dealt(units, world) if number == rank)


def dealt(units: Iterable[Unit], world: int) -> Iterator[tuple[int, Unit]]:
    """Every unit with the rank that it goes to."""
    loads = [(0.0, 0, number) for number in range(world)]  # cost, units, rank
    for unit in units:
        cost, count, number = loads[0]
        heapq.heapreplace(loads, (cost + unit.cost, count + 1, number))
        yield number, unit
