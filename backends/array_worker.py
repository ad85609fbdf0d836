"""One worker of a job array, over a share of the tasks that was written to a file."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mer.backends.attempt import HALF
from mer.backends.in_process import run_here
from mer.backends.work import Notice, Slot, Task, TaskFailed, Work


def write_task(file: BinaryIO, task: Task) -> None:
    """Append a task to a file of tasks."""
    pickle.dump(task, file)


def read_tasks(path: Path) -> Iterator[Task]:
    """The tasks of a file, one at a time."""
    with path.open("rb") as file:
        while True:
            try:
                task = pickle.load(file)
            except EOFError:
                return
            yield task


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayWorker:
    """What is submitted; called on the node, and again after every requeue: tasks that are done are skipped."""

    work: Work
    """What the worker opens."""
    tasks: Path
    """File of its tasks, where every node sees it."""
    slot: Slot
    """Where it runs."""
    suspect: str | None = None
    """Name of the task in which the worker before it was killed: it comes last, with half the batch. None: none was."""

    def __call__(self) -> tuple[TaskFailed, ...]:
        """Do the tasks; the log hears of them."""
        failed = run_here(self.work, self._noted(suspect=False), self.slot, tell=_log)
        if self.suspect is None:
            return failed
        return failed + run_here(self.work, self._noted(suspect=True), self.slot, tell=_log, share=HALF)

    def checkpoint(self) -> Any:
        """What submitit puts in the queue in place of a worker that is preempted or out of time: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def in_hand(self) -> str:
        """Name of the task that was begun last, by this worker or the one before it; empty if none was."""
        try:
            return self._note.read_text()
        except FileNotFoundError:
            return ""

    @property
    def _note(self) -> Path:
        return self.tasks.with_suffix(".now")

    def _noted(self, *, suspect: bool) -> Iterator[Task]:
        for task in read_tasks(self.tasks):
            if (task.name == self.suspect) == suspect and not self.work.is_done(task):
                self._note.write_text(task.name)
                yield task


def _log(event: object) -> None:
    print(event.text if isinstance(event, Notice) else event, flush=True)
