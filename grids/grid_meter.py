"""How far a grid is, in work rather than in rows: one coattention row can be a hundred late ones."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from mer.backends import TaskDone, TaskFailed
from mer.grids.grid_cost import USUAL_EPOCHS
from mer.grids.grid_events import NothingToTrain, TaskEvent, TaskPlanned, TasksPlanned
from mer.heads.progress import EpochDone, TrainingStarted
from mer.results import RunDone

NEARLY = 0.95
"""Share of a run at which it waits for its end, when it is longer than usual."""


@runtime_checkable
class TaskMeter(Protocol):
    """How far a task is."""

    @property
    def done(self) -> float:
        """Share of the task that this command has done."""
        ...

    @property
    def to_do(self) -> float:
        """Share of the task that is this command's: what was finished before is neither done nor to be done."""
        ...

    def take(self, event: object) -> None:
        """Learn from an event of the task."""
        ...


class GridMeter:
    """Follows the events of a grid of any kind, on any backend."""

    def __init__(self, meter_of: Callable[[TaskPlanned], TaskMeter]) -> None:
        """Nothing is known yet.

        Args:
            meter_of: a meter for a task.
        """
        self.done = 0.0
        """Work done by this command; never becomes less."""
        self.over = 0
        """Tasks that are over."""
        self._meter_of = meter_of
        self._open: dict[str, tuple[float, TaskMeter]] = {}
        self._ended = 0.0

    @property
    def total(self) -> float:
        """Work of this command."""
        return self._ended + sum(cost * meter.to_do for cost, meter in self._open.values())

    @property
    def tasks(self) -> int:
        """Tasks of this command."""
        return self.over + len(self._open)

    def take(self, event: object) -> None:
        """Learn from an event."""
        match event:
            case TasksPlanned():
                self._open = {task.name: (task.cost, self._meter_of(task)) for task in event.tasks}
            case TaskEvent() if event.task in self._open:
                self._open[event.task][1].take(event.event)
            case NothingToTrain() if event.task in self._open:
                del self._open[event.task]
                self.over += 1
            case TaskDone() | TaskFailed() if event.name in self._open:
                cost, meter = self._open.pop(event.name)
                self._ended += cost * meter.to_do
                self.over += 1
            case _:
                return
        self.done = max(self.done, self._ended + sum(cost * meter.done for cost, meter in self._open.values()))


class HeadMeter:
    """How far the runs of a bundle are; nobody knows which epoch is the last, so runs that are over tell what is usual."""

    to_do = 1.0

    def __init__(self, runs: int, lengths: list[int]) -> None:
        """None has begun.

        Args:
            runs: that are to be trained.
            lengths: epochs of runs that are over, shared by the meters of a grid.
        """
        self._runs, self._lengths = max(1, runs), lengths
        self._over, self._epochs = 0, dict[int, int]()
        self._longest = USUAL_EPOCHS

    def take(self, event: object) -> None:
        """Learn from an event of training."""
        match event:
            case TrainingStarted():  # also when it begins anew elsewhere, after a worker was lost
                self._epochs = {}
            case EpochDone():
                self._epochs[event.run], self._longest = event.epoch, event.max_epochs
            case RunDone():
                self._over += 1
                self._lengths += [self._epochs.pop(event.run)] if event.run in self._epochs else []
            case _:
                pass

    @property
    def done(self) -> float:
        """Share of the bundle."""
        usual = sum(self._lengths) / len(self._lengths) if self._lengths else min(USUAL_EPOCHS, self._longest)
        begun = sum(min(NEARLY, epochs / usual) for epochs in self._epochs.values())
        return min(1.0, (self._over + begun) / self._runs)


def head_meters() -> Callable[[TaskPlanned], HeadMeter]:
    """Meters for the tasks of one grid of heads."""
    lengths: list[int] = []
    return lambda task: HeadMeter(task.runs, lengths)
