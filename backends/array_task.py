"""One task of a job array: a worker over a share of the units that was written to a file."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mer.backends.attempt import HALF
from mer.backends.in_process import run_here
from mer.backends.work import Notice, Slot, Unit, UnitFailed, Work


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
    suspect: str | None = None
    """Name of the unit in which the task before it was killed: it comes last, with half the batch. None: none was."""

    def __call__(self) -> tuple[UnitFailed, ...]:
        """Do the units; the log hears of them."""
        failed = run_here(self.work, self._noted(suspect=False), self.slot, tell=_log)
        if self.suspect is None:
            return failed
        return failed + run_here(self.work, self._noted(suspect=True), self.slot, tell=_log, share=HALF)

    def checkpoint(self) -> Any:
        """What submitit puts in the queue in place of a task that is preempted or out of time: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def in_hand(self) -> str:
        """Name of the unit that was begun last, by this task or the one before it; empty if none was."""
        try:
            return self._note.read_text()
        except FileNotFoundError:
            return ""

    @property
    def _note(self) -> Path:
        return self.units.with_suffix(".now")

    def _noted(self, *, suspect: bool) -> Iterator[Unit]:
        for unit in read_units(self.units):
            if (unit.name == self.suspect) == suspect and not self.work.is_done(unit):
                self._note.write_text(unit.name)
                yield unit


def _log(event: object) -> None:
    print(event.text if isinstance(event, Notice) else event, flush=True)
