"""Units one after the other in this process."""

from collections.abc import Callable, Iterable

from mer.backends.attempt import Attempt, Failure, failure_of
from mer.backends.ledger import Ledger
from mer.backends.look_ahead import LookAhead
from mer.backends.work import BackendError, Slot, Unit, UnitFailed, Work, Worker

NOT_COMMITTED = Failure(reason="the worker finished without committing it", memory=False)


def run_here(
    work: Work,
    units: Iterable[Unit],
    slot: Slot,
    *,
    tell: Callable[[object], None],
    share: float = 1.0,
    strict: bool = False,
) -> tuple[UnitFailed, ...]:
    """Do units in their order, as `Backend.run` does; the work is opened only if there is something to do.

    Args:
        work: what is opened here.
        units: read one at a time.
        slot: this process.
        tell: hears every event.
        share: of the usual batch size, at the first try.
        strict: whether an error of a unit is raised as it is; else the unit has failed, and the others go on.
    """
    ledger = Ledger(work, workers=1, tell=tell)
    ahead = LookAhead(work, units, size=1, tell=ledger.tell)
    if not ahead.fill():
        return ()
    with work.open(slot) as worker:
        while (unit := ahead.take()) is not None:
            _try(worker, Attempt(unit=unit, share=share), slot, ledger, strict)
        _finish(worker, slot, ledger)
        while (attempt := ledger.try_again(slot.number)) is not None:
            _try(worker, attempt, slot, ledger, strict)
            _finish(worker, slot, ledger)
    return ledger.failed


def _try(worker: Worker, attempt: Attempt, slot: Slot, ledger: Ledger, strict: bool) -> None:
    ledger.begin(attempt, slot.number)
    try:
        worker.do(attempt.unit, share=attempt.share, tell=ledger.hear)
    except Exception as error:
        if strict or isinstance(error, BackendError):
            raise
        ledger.fail(attempt.unit.name, failure_of(error))


def _finish(worker: Worker, slot: Slot, ledger: Ledger) -> None:
    failure = NOT_COMMITTED
    try:
        worker.finish()
    except BackendError:
        raise
    except Exception as error:
        failure = failure_of(error)
    ledger.settle(slot.number, failure)
