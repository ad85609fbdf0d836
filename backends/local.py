"""Tasks in the processes of one machine: one per GPU, or several that share its cores."""

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from mer.backends.attempt import Attempt, TryFailure, ended_with
from mer.backends.in_process import NOT_COMMITTED, run_here
from mer.backends.interrupt import ctrl_c_waits
from mer.backends.ledger import Ledger
from mer.backends.look_ahead import TASKS_AHEAD, LookAhead
from mer.backends.work import BackendError, Slot, Task, TaskFailed, Work, WorkerLost
from mer.backends.worker_process import LEAVE_SECONDS, Finish, Ready, Refused, Told, TryFailed, WorkerAnswer, WorkerProcess

TASKS_IN_HAND = 2  # one is committed while the next is done
DEATHS_IN_A_ROW = 4  # per worker, while no task is finished by any


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalBackend:
    """Workers on this machine; a single one is this process itself."""

    workers: int | None = None
    """Processes. None: one per GPU on `cuda`, else 1."""
    device: str = "cpu"
    """`cpu`, `cuda`, `cuda:1`, ...; on `cuda` worker N has `cuda:N`."""
    threads: int | None = None
    """CPU threads per worker. None: the cores are divided."""
    gpus: int | None = None
    """GPUs of this machine; must be given for several workers on `cuda`."""
    in_hand: int = TASKS_IN_HAND
    """Tasks that a worker among several is given before the first of them is committed."""
    strict: bool = False
    """Whether an error of a task is raised, with its traceback, instead of recorded; for a single worker."""

    def slots(self) -> tuple[Slot, ...]:
        """Place of every worker.

        Raises:
            BackendError: more workers than GPUs, or less than one worker or thread.
        """
        of_gpus = (self.gpus or 1) if self.device == "cuda" else 1
        workers = of_gpus if self.workers is None else self.workers
        if workers < 1 or (self.threads is not None and self.threads < 1):
            raise BackendError(f"at least 1 worker and 1 thread are needed, got {workers} workers, {self.threads} threads")
        if self.device != "cpu" and workers > 1:
            have = (self.gpus or 0) if self.device == "cuda" else 1
            if workers > have:
                raise BackendError(
                    f"{workers} workers are asked for on {self.device}, which is {have} GPUs, and each worker needs one "
                    f"of its own: give --workers {max(have, 1)} or fewer"
                )
        threads = self.threads or max(1, cores() // workers)
        several = workers > 1 and self.device == "cuda"
        return tuple(
            Slot(number=number, device=f"cuda:{number}" if several else self.device, threads=threads) for number in range(workers)
        )

    def run(self, work: Work, tasks: Iterable[Task], *, tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
        """Do the tasks; see `Backend.run`."""
        slots = self.slots()
        if len(slots) == 1:
            return run_here(work, tasks, slots[0], tell=tell, strict=self.strict)
        ledger = Ledger(work, workers=len(slots), tell=tell)
        ahead = LookAhead(work, tasks, size=TASKS_AHEAD * len(slots), tell=ledger.tell)
        _Crew(work, slots, ahead, ledger, self.in_hand).run()
        return ledger.failed


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Crew:
    """The processes of one run, started when there is something for them and again when they die."""

    def __init__(self, work: Work, slots: Sequence[Slot], ahead: LookAhead, ledger: Ledger, in_hand: int) -> None:
        self._work, self._slots, self._ahead, self._ledger, self._in_hand = work, slots, ahead, ledger, in_hand
        self._workers: dict[int, WorkerProcess] = {}
        self._deaths, self._done_at_death = 0, 0

    def run(self) -> None:
        """Hand out and listen until every task is done or has failed."""
        try:
            while self._hand_out():
                self._listen()
            self._leave()
        finally:
            with ctrl_c_waits():
                for worker in self._workers.values():
                    worker.process.terminate()
                for worker in self._workers.values():
                    worker.end()

    def _hand_out(self) -> bool:
        """Give every idle worker something to do; whether there is something to wait for."""
        for number, worker in self._workers.items():
            if not worker.idle:
                continue
            room = len(self._ledger.held_by(number)) < self._in_hand
            attempt = self._next(number) if room else None
            if attempt is not None:
                self._ledger.begin(attempt, number)
                worker.order(attempt)
            elif not worker.finished:
                worker.order(Finish())
        self._start_missing()
        opened = [worker for worker in self._workers.values() if worker.opened]
        return self._ledger.open or self._ahead.fill() > 0 or not all(worker.finished for worker in opened)

    def _next(self, number: int) -> Attempt | None:
        again = self._ledger.try_again(number)
        if again is not None:
            return again
        task = self._ahead.take()
        return None if task is None else Attempt(task=task)

    def _start_missing(self) -> None:
        for slot in self._slots:
            if slot.number in self._workers:
                continue
            coming = sum(not worker.opened for worker in self._workers.values())
            if self._ahead.fill() > coming or self._ledger.has_for(slot.number):
                self._workers[slot.number] = WorkerProcess(self._work, slot)

    def _listen(self) -> None:
        """Wait for answers and deaths, and take them."""
        heard: list[Connection | int] = []
        for worker in self._workers.values():
            heard += [worker.connection, worker.process.sentinel]
        ready = wait(heard)
        for worker in list(self._workers.values()):
            if worker.connection in ready:
                self._take(worker, worker.receive())
            elif worker.process.sentinel in ready:
                self._take(worker, None)

    def _take(self, worker: WorkerProcess, answer: WorkerAnswer | None) -> None:
        match answer:
            case None:
                self._lose(worker)
            case Told(event):
                self._ledger.hear(event)
            case TryFailed(name, failure):
                self._ledger.fail(name, failure)
            case Refused(error):
                raise error
            case Ready(finished, failure) if finished:
                self._ledger.settle(worker.slot.number, failure or NOT_COMMITTED)

    def _lose(self, worker: WorkerProcess) -> None:
        """A worker died by itself or was killed: what it had goes to others, or to it once it is started again."""
        number, host = worker.slot.number, socket.gethostname()
        del self._workers[number]
        worker.end()
        reason = f"a worker process {ended_with(worker.process.exitcode)}"
        self._ledger.tell(WorkerLost(number=number, host=host, reason=reason))
        self._ledger.settle(number, TryFailure(reason=f"{reason} (on {host})", memory=True))
        self._deaths = 1 if self._ledger.done > self._done_at_death else self._deaths + 1
        self._done_at_death = self._ledger.done
        if self._deaths >= DEATHS_IN_A_ROW * len(self._slots):
            raise BackendError(
                f"{self._deaths} workers in a row ended before any task was done: {reason}, on {host}. Try fewer "
                f"--workers; --workers 1 runs in this process and shows what happens"
            )

    def _leave(self) -> None:
        """Let workers close what they have open, and hear their last answers."""
        opened = [worker for worker in self._workers.values() if worker.opened]
        for worker in opened:
            worker.order(None)
        for worker in opened:
            while worker.answers_soon() and (answer := worker.receive()) is not None:
                self._take(worker, answer)
            worker.process.join(LEAVE_SECONDS)
