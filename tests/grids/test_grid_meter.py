from typing import Any

import pytest

from mer.backends import TaskDone, TaskFailed
from mer.grids.grid_events import NothingToTrain, TaskEvent, TaskPlanned, TasksPlanned
from mer.grids.grid_meter import GridMeter, head_meters
from mer.heads.progress import EpochDone, TrainingStarted
from mer.results import RunDone


def planned(**costs: float) -> TasksPlanned:
    tasks = [TaskPlanned(name=name, row=1, cost=cost, runs=3) for name, cost in costs.items()]
    return TasksPlanned(tasks=tuple(tasks), others=5)


def started(task: str) -> TaskEvent:
    return TaskEvent(task=task, event=TrainingStarted(runs=25, finished=1, device="cpu", stack=1, features=""))


def epoch(task: str, run: int, number: int, *, longest: int = 99) -> TaskEvent:
    numbers: dict[str, Any] = {"train_loss": 1.0, "validation_loss": 1.0, "validation_ua": 0.5, "max_epochs": longest}
    return TaskEvent(task=task, event=EpochDone(run=run, runs=3, over=0, fold="1", seed=0, epoch=number, **numbers))


def run_done(task: str, run: int) -> TaskEvent:
    return TaskEvent(task=task, event=RunDone(run=run, runs=3, over=1, fold="1", seed=0, best_epoch=2, ua=0.5, failure=None))


def test_tasks_count_by_their_work_and_runs_by_what_is_usual() -> None:
    meter = GridMeter(head_meters())
    meter.take(planned(a=30.0, b=10.0, c=5.0))
    assert (meter.total, meter.done, meter.tasks, meter.over) == (45, 0, 3, 0)
    meter.take(started("b"))
    meter.take(epoch("b", 1, 3))
    assert meter.done == pytest.approx(10 * 3 / 15 / 3)
    meter.take(epoch("b", 1, 6))
    meter.take(run_done("b", 1))
    assert meter.done == pytest.approx(10 / 3)
    meter.take(TaskDone(name="b"))
    assert (meter.done, meter.over) == (10, 1)
    # Runs take six epochs, as far as is known.
    meter.take(epoch("a", 2, 3))
    assert meter.done == pytest.approx(10 + 30 * 3 / 6 / 3)
    for number in range(4, 20):
        meter.take(epoch("a", 2, number))
    assert 10 + 9 < meter.done < 10 + 10
    meter.take(started("a"))  # on another worker, from the beginning
    assert 10 + 9 < meter.done < 10 + 10
    meter.take(TaskFailed(name="a", reason="lost", tries=2))
    assert (meter.done, meter.over, meter.total) == (40, 2, 45)
    meter.take(NothingToTrain(task="c"))
    meter.take(TaskDone(name="c"))
    assert (meter.done, meter.over, meter.total, meter.tasks) == (40, 3, 40, 3)


def test_a_first_guess_is_no_longer_than_the_longest_run() -> None:
    meter = GridMeter(head_meters())
    meter.take(planned(a=30.0))
    meter.take(epoch("a", 1, 1, longest=2))
    assert meter.done == pytest.approx(30 / 2 / 3)


def test_what_a_task_finds_finished_is_neither_done_nor_to_be_done() -> None:
    class Half:
        done, to_do = 0.25, 0.5

        def take(self, event: object) -> None:
            """Nothing."""

    meter = GridMeter(lambda task: Half())
    meter.take(planned(a=8.0, b=8.0))
    assert (meter.done, meter.total) == (4, 8)
    meter.take(TaskDone(name="a"))
    assert (meter.done, meter.total) == (6, 8)
