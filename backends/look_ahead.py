"""A bounded window over a stream of tasks, from which the largest are begun first."""

from collections.abc import Callable, Iterable

from mer.backends.work import Task, TaskDone, Work

TASKS_AHEAD = 4


class LookAhead:
    """Tasks to be begun; of the stream no more than the window is held."""

    def __init__(self, work: Work, tasks: Iterable[Task], *, size: int, tell: Callable[[object], None]) -> None:
        self._work, self._tasks, self._size, self._tell = work, iter(tasks), size, tell
        self._window: list[Task] = []
        self._ended = False

    def fill(self) -> int:
        """Read on until the window is full or the stream ends; the number of tasks in the window."""
        while not self._ended and len(self._window) < self._size:
            task = next(self._tasks, None)
            if task is None:
                self._ended = True
            elif not self._found_done(task):
                self._window.append(task)
        return len(self._window)

    def take(self) -> Task | None:
        """The largest task of the window, the first of several; None at the end of the stream."""
        while self.fill():
            task = max(self._window, key=lambda task: task.cost)
            self._window.remove(task)
            if not self._found_done(task):  # it waited in the window, and other launchers may work on the same tasks
                return task
        return None

    def _found_done(self, task: Task) -> bool:
        done = self._work.is_done(task)
        if done:
            self._tell(TaskDone(name=task.name))
        return done
