"""What runs on a node of a Ray cluster: one task, with the worker that this process keeps open."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass

from mer.backends.attempt import Attempt, TryFailure, failure_of
from mer.backends.work import BackendError, Slot, Work, Worker
from mer.backends.worker_process import as_sent


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOutcome:
    """What comes back from a task."""

    host: str
    """Where it ran."""
    node: str
    """Ray's name of the node."""
    events: tuple[object, ...] = ()
    """What the work told."""
    failure: TryFailure | None = None
    """Why the task is not done."""
    refused: Exception | None = None
    """Why no task can be done."""


@dataclass(slots=True)
class _Kept:
    """The worker that is open in this process: Ray uses a process for many tasks."""

    run: str = ""
    worker: Worker | None = None
    closing: ExitStack | None = None


_KEPT = _Kept()


def do_task(run: str, work: Work, attempt: Attempt, slot: Slot) -> TaskOutcome:
    """Do a task and commit it.

    Args:
        run: the launcher's run; models are loaded once for each.
        work: what to open, if this process has not.
        attempt: the task.
        slot: of this task.
    """
    import ray

    host, node = socket.gethostname(), ray.get_runtime_context().get_node_id()
    events: list[object] = []
    failure: TryFailure | None = None
    try:
        worker = _opened(run, work, slot)
        try:
            worker.do(attempt.task, share=attempt.share, tell=events.append)
            worker.finish()
        except BackendError:
            raise
        except Exception as error:
            failure = failure_of(error)
    except Exception as error:
        return TaskOutcome(host=host, node=node, refused=as_sent(error))
    return TaskOutcome(host=host, node=node, events=tuple(events), failure=failure)


def _opened(run: str, work: Work, slot: Slot) -> Worker:
    if _KEPT.worker is None or _KEPT.run != run:
        if _KEPT.closing is not None:
            _KEPT.worker = None
            _KEPT.closing.close()
        _KEPT.closing = ExitStack()
        _KEPT.worker = _KEPT.closing.enter_context(work.open(slot))
        _KEPT.run = run
    return _KEPT.worker
