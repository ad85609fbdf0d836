"""One task of a job array: a worker over a share of the units that was written to a file."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from mer.backends.attempt import HALF
from mer.backends.in_process import run_here
from mer.backends.work import Notice, Slot, Unit, UnitFailed, Work

SUSPECTS = 2  # one was committed while the next was done


def write_unit(file: BinaryIO, unit: Unit) -> None:
    """Append a unit to a file of units."""
    pickle.dump(unit, file)


def read_units(path: Path) -> Iterator[Unit]:
    """The units of a file, one at a time."""
    with path.open("rb") as file:
        while True:
            try:
                unit = pickle.load(file)
            except EOFError:
                return
            yield unit


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayTask:
    """What is submitted; called on the node, and again after every requeue: units that are done are skipped."""

    work: Work
    """What the worker opens."""
    units: Path
    """File of its units, where every node sees it."""
    slot: Slot
    """Of the worker."""
    after_death: bool = False
    """The task before it was killed: the units that it may have died of come last, with half the batch."""

    def __call__(self) -> tuple[UnitFailed, ...]:
        """Do the units; the log hears of them."""
        if not self.after_death:
            return run_here(self.work, read_units(self.units), self.slot, tell=_log)
        left = (unit for unit in read_units(self.units) if not self.work.is_done(unit))
        suspects = list(islice(left, SUSPECTS))
        failed = run_here(self.work, left, self.slot, tell=_log)
        return failed + run_here(self.work, suspects, self.slot, tell=_log, share=HALF)

    def checkpoint(self) -> Any:
        """What submitit puts in the queue in place of a task that is preempted or out of time: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _log(event: object) -> None:
    print(event.text if isinstance(event, Notice) else event, flush=True)
