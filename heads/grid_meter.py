"""How far a grid is, in work rather than in rows: one coattention row can be a hundred late ones."""

from mer.heads.grid_cost import USUAL_EPOCHS
from mer.heads.grid_table import GridEvent, GridStarted, RowDone, RowStarted
from mer.heads.progress import EpochDone, TrainingStarted
from mer.results import RunDone


class GridMeter:
    """Follows the events of a grid; work that was finished before counts neither as done nor as to be done."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.done = 0.0
        """Work done by this command."""
        self.total = 0.0
        """Work of this command."""
        self._costs: tuple[float, ...] = ()
        self._ended = 0.0
        self._share = 1.0
        self._row = self._parts = self._part = 0
        self._runs = self._epochs = self._max_epochs = 0
        self._over = self._epochs_of_over = 0
        self._epochs_of_run: dict[int, int] = {}

    def take(self, event: GridEvent) -> None:
        """Learn from an event."""
        match event:
            case GridStarted():
                self._costs, self.total = event.costs, sum(event.costs)
            case RowStarted():
                self._row, self._parts, self._part, self._runs = event.row, event.parts, 0, 0
            case TrainingStarted():
                self._begin(event)
            case EpochDone():
                self._epochs += 1
                self._max_epochs = event.max_epochs
                self._epochs_of_run[event.run] = event.epoch
                self.done = self._ended + self._cost() * min(1.0, self._epochs / self._expected())
            case RunDone() if event.run in self._epochs_of_run:
                self._over += 1
                self._epochs_of_over += self._epochs_of_run.pop(event.run)
            case RowDone():
                self._end(event)
            case _:
                pass

    def _begin(self, event: TrainingStarted) -> None:
        """A head begins; for a multi-level row the second one ends the first."""
        if self._runs:
            self._ended += self._cost()
        self._part += 1
        self._runs = event.runs - event.finished
        self._epochs, self._epochs_of_run = 0, {}
        self.total -= self._part_cost() * event.finished / event.runs
        self._share = self._runs / event.runs

    def _end(self, event: RowDone) -> None:
        if self._runs:
            self._ended += self._cost()
        # Heads of this row that were never begun were there already, or will never be.
        self.total -= self._part_cost() * (self._parts - self._part)
        self.done, self._runs = self._ended, 0

    def _part_cost(self) -> float:
        return self._costs[self._row - 1] / self._parts

    def _cost(self) -> float:
        """Work of the head that is being trained, without the runs that were finished before."""
        return self._part_cost() * self._share

    def _expected(self) -> float:
        """Epochs of all runs of this head."""
        each = self._epochs_of_over / self._over if self._over else min(USUAL_EPOCHS, self._max_epochs)
        return max(1.0, self._runs * each)
