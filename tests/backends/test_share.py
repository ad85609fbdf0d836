"""Shares of a stream that ranks take without talking to each other."""

from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.backends import BackendError, Task, own_share

COSTS = st.lists(st.floats(0, 1e6), max_size=40)


def tasks(costs: list[float]) -> list[Task]:
    return [Task(name=str(number), cost=cost, content=None) for number, cost in enumerate(costs)]


def reference(costs: list[float], world: int) -> list[list[int]]:
    """List scheduling, written out: each in turn to the least loaded, among equals to the one with the fewest, then the first."""
    shares: list[list[int]] = [[] for _ in range(world)]
    loads = [0.0] * world
    for number, cost in enumerate(costs):
        rank = min(range(world), key=lambda rank: (loads[rank], len(shares[rank]), rank))
        shares[rank].append(number)
        loads[rank] += cost
    return shares


@given(costs=COSTS, world=st.integers(1, 6))
def test_shares_are_those_of_list_scheduling(costs: list[float], world: int) -> None:
    shares = [[int(task.name) for task in own_share(tasks(costs), rank, world)] for rank in range(world)]
    assert shares == reference(costs, world)


@given(costs=COSTS, world=st.integers(1, 6))
def test_no_rank_has_more_than_an_equal_part_and_the_largest_task(costs: list[float], world: int) -> None:
    loads = [sum(task.cost for task in own_share(tasks(costs), rank, world)) for rank in range(world)]
    assert max(loads) <= (sum(costs) / world + max(costs, default=0.0)) * (1 + 1e-9)


def test_tasks_without_cost_are_dealt_round() -> None:
    assert [len(list(own_share(tasks([0.0] * 12), rank, 4))) for rank in range(4)] == [3] * 4


def test_a_stream_without_end_is_read_as_far_as_needed() -> None:
    def endless() -> Iterator[Task]:
        number = 0
        while True:
            yield Task(name=str(number), cost=1.0, content=None)
            number += 1

    assert [task.name for task in islice(own_share(endless(), 1, 3), 3)] == ["1", "4", "7"]


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_not_there_is_refused(rank: int, world: int) -> None:
    with pytest.raises(BackendError, match=rf"shard rank {rank} of {world}"):
        own_share([], rank, world)
