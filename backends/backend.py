"""What does the tasks of a work, wherever its workers are."""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from mer.backends.work import Task, TaskFailed, Work


@runtime_checkable
class Backend(Protocol):
    """An engine; each may run a task twice, and the result is the same."""

    def run(self, work: Work, tasks: Iterable[Task], *, tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
        """Do every task that is not done yet; tasks that failed are returned, the others are committed.

        Args:
            work: what every worker opens once.
            tasks: may be a stream without end in sight: only a window of it is held, the largest of it begun first.
            tell: hears, one call at a time, the work's own events (Slurm's stay in the logs), `WorkerLost`, `Notice`,
                and for every task of the stream in the end either `TaskDone` or `TaskFailed`.

        Raises:
            BackendError: the engine or its workers cannot be had, or a worker refuses the work.
            Exception: what `work.open` raised in a worker.
            KeyboardInterrupt: on Ctrl-C, after the workers have ended.
        """
        ...
