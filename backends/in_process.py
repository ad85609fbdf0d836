"""Tasks one after the other in this process."""

from collections.abc import Callable, Iterable

from mer.backends.attempt import Attempt, TryFailure, failure_of
from mer.backends.ledger import Ledger
from mer.backends.look_ahead import LookAhead
from mer.backends.work import BackendError, Slot, Task, TaskFailed, Work, Worker

NOT_COMMITTED = TryFailure(reason="the worker finished without committing it", memory=False)


def run_here(
    work: Work,
    tasks: Iterable[Task],
    slot: Slot,
    *,
    tell: Callable[[object], None],
    share: float = 1.0,
    strict: bool = False,
) -> tuple[TaskFailed, ...]:
    """Do tasks in their order, as `Backend.run` does; the work is opened only if there is something to do.

    Args:
        work: what is opened here.
        tasks: read one at a time.
        slot: this process.
        tell: hears every event.
        share: of the usual batch size, at the first try.
        strict: whether an error of a task is raised as it is; else the task has failed, and the others go on.
    """
    ledger = Ledger(work, workers=1, tell=tell)
    ahead = LookAhead(work, tasks, size=1, tell=ledger.tell)
    if not ahead.fill():
        return ()
    with work.open(slot) as worker:
        while (task := ahead.take()) is not None:
            _try(worker, Attempt(task=task, share=share), slot, ledger, strict)
        _finish(worker, slot, ledger)
        while (attempt := ledger.try_again(slot.number)) is not None:
            _try(worker, attempt, slot, ledger, strict)
            _finish(worker, slot, ledger)
    return ledger.failed


def _try(worker: Worker, attempt: Attempt, slot: Slot, ledger: Ledger, strict: bool) -> None:
    ledger.begin(attempt, slot.number)
    try:
        worker.do(attempt.task, share=attempt.share, tell=ledger.hear)
    except Exception as error:
        if strict or isinstance(error, BackendError):
            raise
        ledger.fail(attempt.task.name, failure_of(error))


def _finish(worker: Worker, slot: Slot, ledger: Ledger) -> None:
    failure = NOT_COMMITTED
    try:
        worker.finish()
    except BackendError:
        raise
    except Exception as error:
        failure = failure_of(error)
    ledger.settle(slot.number, failure)
