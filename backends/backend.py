"""What does the units of a work, wherever its workers are."""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from mer.backends.work import Unit, UnitFailed, Work


@runtime_checkable
class Backend(Protocol):
    """An engine; each may run a unit twice, and the result is the same."""

    def run(self, work: Work, units: Iterable[Unit], *, tell: Callable[[object], None]) -> tuple[UnitFailed, ...]:
        """Do every unit that is not done yet; units that failed are returned, the others are committed.

        Args:
            work: what every worker opens once.
            units: may be a stream without end in sight: only a window of it is held, the largest of it begun first.
            tell: hears, one call at a time, the work's own events (Slurm's stay in the logs), `WorkerLost`, `Notice`,
                and for every unit of the stream in the end either `UnitDone` or `UnitFailed`.

        Raises:
            BackendError: the engine or its workers cannot be had, or a worker refuses the work.
            Exception: what `work.open` raised in a worker.
            KeyboardInterrupt: on Ctrl-C, after the workers have ended.
        """
        ...
