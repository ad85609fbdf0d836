"""How far fine-tuning is, in work: of one result, or of all rows of a grid."""

from mer.finetune.events import RunStarted, StepDone
from mer.finetune.progress import FinetuneEvent, FinetuningStarted
from mer.heads.grid_table import GridEvent, GridStarted, RowDone, RowStarted
from mer.results import RunDone


class FinetuneMeter:
    """Follows events; work that was done before this command counts neither as done nor as to be done."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.done = 0.0
        """Work done by this command."""
        self.total = 0.0
        """Work of this command."""
        self._costs: tuple[float, ...] = ()
        self._ended = 0.0
        self._row_cost = self._row_known = 0.0
        self._per_run = 0.0
        self._before = 0.0

    def take(self, event: GridEvent | FinetuneEvent) -> None:
        """Learn from an event."""
        match event:
            case GridStarted():
                self._costs, self.total = event.costs, sum(event.costs)
            case RowStarted():
                self._row_cost, self._row_known = self._costs[event.row - 1], 0.0
            case FinetuningStarted():
                self._begin(event)
            case RunStarted():
                epoch, steps = event.resumed or (1, 0)
                self._before = ((epoch - 1) * event.steps + steps) / (event.epochs * event.steps)
                self.total -= self._per_run * self._before
            case StepDone():
                share = ((event.epoch - 1) * event.steps + event.step) / (event.epochs * event.steps)
                self.done = self._ended + self._per_run * (share - self._before)
            case RunDone():
                self._ended += self._per_run * (1 - self._before)
                self._row_known += self._per_run
                self.done, self._before = self._ended, 0.0
            case RowDone():
                self.total -= self._row_cost - self._row_known
                self.done = self._ended
            case _:
                pass

    def _begin(self, event: FinetuningStarted) -> None:
        if not self._costs:
            self._row_cost = self.total = float(event.runs)
        self._per_run = self._row_cost / event.runs
        self._row_known = self._per_run * event.finished
        self.total -= self._row_known
