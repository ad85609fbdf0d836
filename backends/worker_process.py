"""A worker in a process of its own: what it is sent, what it answers, how it ends."""

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

from mer.backends.attempt import Attempt, TryFailure, failure_of
from mer.backends.interrupt import ctrl_c_waits, end_with_parent, never_heard_by_children
from mer.backends.work import BackendError, Slot, Work, Worker

LEAVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finish:
    """Order: commit everything."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Answer: open, or the last order is carried out."""

    finished: bool = False
    """Everything is committed that could be."""
    failure: TryFailure | None = None
    """Why the rest could not."""


@dataclass(frozen=True, slots=True)
class Told:
    """Answer: an event of the work, told while an order is carried out."""

    event: object


@dataclass(frozen=True, slots=True)
class TryFailed:
    """Answer: a try has failed."""

    name: str
    """Name of the task."""
    failure: TryFailure


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer: the work cannot be done by this worker, nor by others."""

    error: Exception


WorkerAnswer = Ready | Told | TryFailed | Refused


class WorkerProcess:
    """The launcher's side: a process, and the two-way pipe to it.

    Each has a pipe of its own: in a queue shared by several, one that is killed may take the lock with it.
    """

    def __init__(self, work: Work, slot: Slot) -> None:
        context = multiprocessing.get_context("spawn")
        self.slot, self.opened, self.idle, self.finished = slot, False, False, True
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_body, args=(theirs, slot), name=f"mer-worker-{slot.number}", daemon=True)
        with environment_of(slot), ctrl_c_waits(), never_heard_by_children():
            self.process.start()
        theirs.close()
        self.order(work)

    def order(self, order: Work | Attempt | Finish | None) -> None:
        """Send the work, which is the first order, a try, `Finish`, or None: leave; a dead worker is found by `receive`."""
        self.idle = False
        if isinstance(order, Attempt):
            self.finished = False
        with suppress(BrokenPipeError, ConnectionError):
            self.connection.send(order)

    def receive(self) -> WorkerAnswer | None:
        """The next answer, None if the worker has ended."""
        try:
            answer: WorkerAnswer = self.connection.recv()
        except (EOFError, OSError):  # OSError: killed in the middle of an answer
            return None
        if isinstance(answer, Ready):
            self.opened, self.idle, self.finished = True, True, answer.finished
        return answer

    def answers_soon(self) -> bool:
        """Whether the worker answers or ends within the time in which it should leave."""
        return self.connection.poll(LEAVE_SECONDS)

    def end(self) -> None:
        """Wait for the process, which has been told to end or has died, and kill it if it does not end soon."""
        self.connection.close()  # an answer under way must not keep it
        self.process.join(LEAVE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextmanager
def environment_of(slot: Slot) -> Iterator[None]:
    """Environment for spawned workers: their threads, and huge pages for the convolutions' large buffers.

    Two processes of one thread do 1.96 times the work of one, two threads 1.77 times and far less beside other load.
    """
    threads = str(slot.threads)
    wanted = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "THP_MEM_ALLOC_ENABLE": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Answers:
    """The worker's end of the pipe; its threads may answer at the same time."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, Lock()

    def send(self, answer: WorkerAnswer) -> None:
        with self._lock, suppress(BrokenPipeError, ConnectionError):  # the launcher has hung up: the next order is to leave
            self._connection.send(answer)

    def tell(self, event: object) -> None:
        self.send(Told(event))


def _body(connection: Connection, slot: Slot) -> None:
    """Main of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the launcher decides
    # Leave in order: killed outright, a worker leaves a semaphore of some library behind, and Python warns about it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    end_with_parent()
    answers = _Answers(connection)
    try:
        work = _next_order(connection)
        if work is not None:
            with work.open(slot) as worker:
                answers.send(Ready(finished=True))
                while (order := _next_order(connection)) is not None:
                    _carry_out(order, worker, answers)
    except Exception as error:
        answers.send(Refused(as_sent(error)))


def _next_order(connection: Connection) -> Any:
    try:
        return connection.recv()
    except (EOFError, ConnectionError):
        return None  # the launcher is gone, which means the same as its order to leave


def _carry_out(order: Attempt | Finish, worker: Worker, answers: _Answers) -> None:
    failure: TryFailure | None = None
    try:
        if isinstance(order, Finish):
            worker.finish()
        else:
            worker.do(order.task, share=order.share, tell=answers.tell)
    except BackendError:
        raise
    except Exception as error:
        failure = failure_of(error)
    if isinstance(order, Attempt) and failure is not None:
        answers.send(TryFailed(order.task.name, failure))
    answers.send(Ready(finished=isinstance(order, Finish), failure=failure))


def as_sent(error: Exception) -> Exception:
    """The error if it survives the pipe, else what it says."""
    with suppress(Exception):
        copy = pickle.loads(pickle.dumps(error))
        if type(copy) is type(error) and str(copy) == str(error):
            return error
    return BackendError(failure_of(error).reason)
