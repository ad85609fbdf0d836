"""A window over a stream: the largest first, no more held than the window."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mer.backends import Slot, Task, TaskDone
from mer.backends.look_ahead import LookAhead
from mer.tests.backends.toy_work import ToyWork, ToyWorker, task


def names(ahead: LookAhead) -> list[str]:
    return [taken.name for taken in iter(ahead.take, None)]


@given(costs=st.lists(st.floats(0, 9), max_size=30), size=st.integers(1, 8))
def test_each_is_the_largest_of_the_window_then_and_the_first_of_equals(costs: list[float], size: int) -> None:
    tasks = [task(str(number), cost=cost) for number, cost in enumerate(costs)]
    expected, window, rest = [], tasks[:size], tasks[size:]
    while window:
        chosen = sorted(window, key=lambda task: (-task.cost, int(task.name)))[0]
        window.remove(chosen)
        window += rest[:1]
        rest = rest[1:]
        expected.append(chosen.name)
    assert names(LookAhead(ToyWork(Path("/nowhere")), tasks, size=size, tell=print)) == expected


def test_done_tasks_take_no_place_in_the_window_and_are_told(tmp_path: Path) -> None:
    worker = ToyWorker(tmp_path, Slot(number=0, device="cpu", threads=1))
    tasks = [task(str(number)) for number in range(20)]
    for done in tasks[:15]:
        worker.commit(done)
    told: list[object] = []
    ahead = LookAhead(ToyWork(tmp_path), tasks, size=3, tell=told.append)
    assert ahead.fill() == 3
    assert told == [TaskDone(name=str(number)) for number in range(15)]


def test_a_task_that_others_did_while_it_waited_is_not_taken(tmp_path: Path) -> None:
    tasks: list[Task] = [task("a"), task("b"), task("c")]
    told: list[object] = []
    ahead = LookAhead(ToyWork(tmp_path), tasks, size=3, tell=told.append)
    assert ahead.fill() == 3
    ToyWorker(tmp_path, Slot(number=0, device="cpu", threads=1)).commit(tasks[1])
    assert names(ahead) == ["a", "c"]
    assert told == [TaskDone(name="b")]
