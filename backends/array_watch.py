"""Following a job array by what its workers have committed."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from mer.backends.array_worker import ArrayWorker, read_tasks, write_task
from mer.backends.attempt import TRIES
from mer.backends.work import BackendError, Notice, Task, TaskDone, TaskFailed, Work, WorkerLost

LOOKED_AT = 4  # tasks per worker and look; they are committed nearly in their order


class _Followed:
    """A worker, its job, and the tasks that are not known to be done."""

    def __init__(self, worker: ArrayWorker, job: Any) -> None:
        self.worker, self.job = worker, job
        self._rest = read_tasks(worker.tasks)
        self._next: list[Task] = []

    def newly_done(self) -> Iterator[Task]:
        """Tasks that are committed now, of the next few."""
        while True:
            self._next += islice(self._rest, LOOKED_AT - len(self._next))
            done = [task for task in self._next if self.worker.work.is_done(task)]
            if not done:
                return
            self._next = [task for task in self._next if task not in done]
            yield from done

    def remaining(self) -> Iterator[Task]:
        """All tasks that were not seen to be done."""
        yield from self._next
        yield from self._rest


class ArrayWatch:
    """Submits workers, tells what becomes of their tasks, and submits a worker that was killed once more."""

    def __init__(
        self, executor: Any, work: Work, *, folder: Path, tell: Callable[[object], None], again: BinaryIO | None
    ) -> None:
        """Set up for one array.

        Args:
            executor: submitit's.
            work: of all workers.
            folder: where the logs are.
            tell: hears of tasks.
            again: file for tasks that have failed once; None: that was their last try.
        """
        self._executor, self._work, self._folder, self._tell, self._again = executor, work, folder, tell, again
        self._running: list[_Followed] = []
        self._failed: list[TaskFailed] = []
        self._refusals: list[str] = []
        self._worked = 0

    def submit(self, workers: Sequence[ArrayWorker]) -> None:
        """Put workers in the queue as one array.

        Raises:
            BackendError: sbatch refuses them.
        """
        jobs = self._submitted(workers)
        self._running += [_Followed(worker, job) for worker, job in zip(workers, jobs, strict=True)]

    def follow(self, poll_seconds: float) -> tuple[TaskFailed, ...]:
        """Wait for every worker; the tasks that failed at their last try.

        Raises:
            BackendError: every worker refused the work.
        """
        while True:
            for followed in list(self._running):
                ended = followed.job.done()
                for task in followed.newly_done():
                    self._tell(TaskDone(name=task.name))
                if ended:
                    self._end(followed)
            if not self._running:
                break
            time.sleep(poll_seconds)
        if self._refusals and not self._worked:
            raise BackendError(self._refusals[0])
        return tuple(self._failed)

    def _submitted(self, workers: Sequence[ArrayWorker]) -> Sequence[Any]:
        try:
            jobs: Sequence[Any] = self._executor.submit_array(list(workers))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            raise BackendError(f"the jobs could not be submitted: {error}") from None
        number = str(jobs[0].job_id).split("_")[0]
        ends = f"They go on if this command ends; `scancel {number}` ends them"
        self._tell(Notice(text=f"{len(jobs)} workers submitted, job {number}; logs in {self._folder}. {ends}"))
        return jobs

    def _end(self, followed: _Followed) -> None:
        """A job has ended: all is well, or its worker refused the work, or it was killed."""
        from submitit.core.utils import FailedJobError

        error = followed.job.exception()
        worker, died_twice = followed.worker, ""
        if error is None:
            reason, reported = "the worker finished without committing it", followed.job.result()
        else:
            refused, reported = isinstance(error, FailedJobError), ()
            reason = f"{_last_line(str(error), refused)}; log: {followed.job.paths.stderr}"
            self._tell(WorkerLost(number=worker.slot.number, host=f"job {followed.job.job_id}", reason=reason))
            if refused:
                self._refusals.append(reason)
            elif worker.suspect is not None:
                died_twice = worker.suspect if worker.suspect == worker.in_hand() else ""
            else:
                followed.worker = replace(worker, suspect=worker.in_hand())
                followed.job = self._submitted([followed.worker])[0]
                return
        self._worked += error is None
        self._running.remove(followed)
        self._settle(followed, {failed.name: failed for failed in reported}, reason, died_twice)

    def _settle(self, followed: _Followed, reported: dict[str, TaskFailed], reason: str, died_twice: str) -> None:
        for task in followed.remaining():
            if self._work.is_done(task):
                self._tell(TaskDone(name=task.name))
                continue
            tries = TRIES if task.name == died_twice else 1
            failed = reported.get(task.name) or TaskFailed(name=task.name, reason=reason, tries=tries)
            if self._again is not None and failed.tries < TRIES:
                write_task(self._again, task)
                continue
            self._failed.append(replace(failed, tries=failed.tries + (self._again is None)))
            self._tell(self._failed[-1])


def _last_line(text: str, trace: bool) -> str:
    """The line that says it: of a trace between two rules the last, of a job that left no result the first two."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not trace:
        return " ".join(lines[:2])
    rules = [number for number, line in enumerate(lines) if set(line) == {"-"}]
    return lines[rules[1] - 1] if len(rules) > 1 else lines[-1]
