"""Which tasks are in whose hands, which are to be tried again, and which have failed for good."""

from collections.abc import Callable
from threading import RLock

from mer.backends.attempt import Attempt, TryFailure, next_attempt
from mer.backends.work import TaskDone, TaskFailed, Work


class Ledger:
    """Account of the tasks that were begun; may be called from any thread, tells one event at a time."""

    def __init__(self, work: Work, *, workers: int, tell: Callable[[object], None]) -> None:
        self._work, self._workers, self._tell = work, workers, tell
        self._lock = RLock()
        self._held: dict[str, tuple[Attempt, int]] = {}
        self._again: list[Attempt] = []
        self._failed: list[TaskFailed] = []
        self.done = 0

    @property
    def failed(self) -> tuple[TaskFailed, ...]:
        """Tasks that failed at their last try."""
        return tuple(self._failed)

    @property
    def open(self) -> bool:
        """Whether a task that was begun is neither committed nor given up."""
        with self._lock:
            return bool(self._held or self._again)

    def has_for(self, worker: int) -> bool:
        """Whether a failed try waits that this worker may repeat."""
        with self._lock:
            return any(attempt.avoid != worker for attempt in self._again)

    def tell(self, event: object) -> None:
        """Pass an event on, while no other is."""
        with self._lock:
            self._tell(event)

    def held_by(self, worker: int) -> tuple[str, ...]:
        """Names of the tasks that a worker has begun and not committed."""
        with self._lock:
            return tuple(name for name, (_, holder) in self._held.items() if holder == worker)

    def begin(self, attempt: Attempt, worker: int) -> None:
        """A worker gets a task."""
        with self._lock:
            self._held[attempt.task.name] = (attempt, worker)

    def hear(self, event: object, *, place: int | None = None) -> None:
        """Take what a worker tells of tasks that it holds; `place` as in `fail`."""
        with self._lock:
            if isinstance(event, TaskFailed):
                self.fail(event.name, TryFailure(reason=event.reason, memory=event.memory), place=place)
            elif not isinstance(event, TaskDone):
                self._tell(event)
            elif self._held.pop(event.name, None) is not None:
                self.done += 1
                self._tell(event)

    def fail(self, name: str, failure: TryFailure, *, place: int | None = None) -> None:
        """The present try of a task has failed: plan the next, or record it.

        Args:
            name: of the task.
            failure: what happened.
            place: where, if it is not the number of the worker: that of a node.
        """
        with self._lock:
            if name not in self._held:
                return
            attempt, worker = self._held.pop(name)
            at = worker if place is None else place
            following = next_attempt(attempt, failure, worker=at, workers=self._workers)
            if following is not None:
                self._again.append(following)
                return
            self._failed.append(TaskFailed(name=name, reason=failure.reason, tries=attempt.number))
            self._tell(self._failed[-1])

    def settle(self, worker: int, failure: TryFailure, *, place: int | None = None) -> None:
        """A worker has ended or finished: what it held is done if that is on disk, else its try has failed."""
        for name in self.held_by(worker):
            attempt, _ = self._held[name]
            if self._work.is_done(attempt.task):
                self.hear(TaskDone(name=name))
            else:
                self.fail(name, failure, place=place)

    def take_back(self, worker: int) -> None:
        """The place where a worker ran is gone, through no fault of its tasks: their tries do not count."""
        with self._lock:
            for name in self.held_by(worker):
                attempt, _ = self._held.pop(name)
                self._again.append(attempt)

    def try_again(self, worker: int) -> Attempt | None:
        """The first failed try that this worker may repeat; a task that was done meanwhile is told to be."""
        with self._lock:
            for attempt in [attempt for attempt in self._again if attempt.avoid != worker]:
                self._again.remove(attempt)
                if not self._work.is_done(attempt.task):
                    return attempt
                self._tell(TaskDone(name=attempt.task.name))
        return None
