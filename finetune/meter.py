"""How far the fine-tuning of one result is."""

from mer.finetune.events import FinetuningStarted, RunStarted, StepDone
from mer.results import RunDone


class FinetuneMeter:
    """Follows events; work that was done before this command counts neither as done nor as to be done."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.done = 0.0
        """Share of the result that this command has done."""
        self.to_do = 1.0
        """Share of the result that is this command's."""
        self._ended = self._per_run = self._before = 0.0

    def take(self, event: object) -> None:
        """Learn from an event."""
        match event:
            case FinetuningStarted():
                self._per_run = 1 / event.runs
                # Begun anew after a worker was lost, it finds runs of this command finished.
                self.to_do = 1 - self._per_run * event.finished + self._ended
            case RunStarted():
                epoch, steps = event.resumed or (1, 0)
                self._before = ((epoch - 1) * event.steps + steps) / (event.epochs * event.steps)
                self.to_do -= self._per_run * self._before
            case StepDone():
                share = ((event.epoch - 1) * event.steps + event.step) / (event.epochs * event.steps)
                self.done = self._ended + self._per_run * (share - self._before)
            case RunDone():
                self._ended += self._per_run * (1 - self._before)
                self.done, self._before = self._ended, 0.0
            case _:
                pass
