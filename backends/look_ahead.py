"""A bounded window over a stream of units, from which the largest are begun first."""

from collections.abc import Callable, Iterable

from mer.backends.work import Unit, UnitDone, Work

UNITS_AHEAD = 4


class LookAhead:
    """Units to be begun; of the stream no more than the window is held."""

    def __init__(self, work: Work, units: Iterable[Unit], *, size: int, tell: Callable[[object], None]) -> None:
        self._work, self._units, self._size, self._tell = work, iter(units), size, tell
        self._window: list[Unit] = []
        self._ended = False

    def fill(self) -> int:
        """Read on until the window is full or the stream ends; the number of units in the window."""
        while not self._ended and len(self._window) < self._size:
            unit = next(self._units, None)
            if unit is None:
                self._ended = True
            elif not self._found_done(unit):
                self._window.append(unit)
        return len(self._window)

    def take(self) -> Unit | None:
        """The largest unit of the window, the first of several; None at the end of the stream."""
        while self.fill():
            unit = max(self._window, key=lambda unit: unit.cost)
            self._window.remove(unit)
            if not self._found_done(unit):  # it waited in the window, and other launchers may work on the same units
                return unit
        return None

    def _found_done(self, unit: Unit) -> bool:
        done = self._work.is_done(unit)
        if done:
            self._tell(UnitDone(name=unit.name))
        return done
