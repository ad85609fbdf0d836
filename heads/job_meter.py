"""How far the bundles of a grid are, in work."""

from mer.backends import UnitDone, UnitFailed
from mer.heads.grid_cost import USUAL_EPOCHS
from mer.heads.grid_launch import JobsPlanned
from mer.heads.head_work import JobEvent
from mer.heads.progress import EpochDone, TrainingStarted
from mer.results import RunDone


class JobMeter:
    """Follows the events of `launch_grid`; work that had ended before does not count."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.total = 0.0
        """Work of this command."""
        self.jobs = 0
        """Bundles of this command."""
        self.over = 0
        """Bundles that are over."""
        self._costs: dict[str, float] = {}
        self._runs: dict[str, int] = {}
        self._epochs: dict[str, dict[int, int]] = {}
        self._lengths: list[int] = []

    @property
    def done(self) -> float:
        """Work done, guessing how long runs will be from those that are over."""
        open_work = sum(self._costs[name] * self._share(name) for name in self._epochs if name in self._costs)
        return self.total - sum(self._costs.values()) + open_work

    def take(self, event: object) -> None:
        """Learn from an event."""
        match event:
            case JobsPlanned():
                self._costs, self.total, self.jobs = dict(event.costs), sum(event.costs.values()), len(event.costs)
            case JobEvent(unit=unit, event=TrainingStarted()):
                # Begun anew elsewhere, after a worker was lost.
                self._epochs[unit] = {}
            case JobEvent(unit=unit, event=EpochDone() as epoch):
                self._epochs.setdefault(unit, {})[epoch.run] = epoch.epoch
            case JobEvent(unit=unit, event=RunDone() as run):
                self._lengths.append(self._epochs.get(unit, {}).get(run.run, 0))
            case UnitDone() | UnitFailed() if event.name in self._costs:
                del self._costs[event.name]
                self.over += 1
            case _:
                pass

    def _share(self, unit: str) -> float:
        """Of a bundle that is under way; never all of it."""
        epochs = self._epochs[unit].values()
        known = [length for length in self._lengths if length]
        expected = sum(known) / len(known) if known else USUAL_EPOCHS
        return min(0.95, sum(epochs) / (expected * max(1, len(epochs))))
