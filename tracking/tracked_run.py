"""One tracked run, and what its tracker was told already."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer.files import append_line, make_folder
from mer.files.regular_file import read_text_file
from mer.tracking.tracker_kind import Plain, Tracked
from mer.tracking.trackers import TRACKERS

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

if sys.platform != "win32":
    import fcntl


class TrackedRun:
    """One run of a tracker. It goes on with the run that an earlier command began, and tells nothing twice.

    `tracked/<tracker>/fold1-seed0.jsonl` in the run directory is its memory: the tracker's id of the run, how far each axis
    was told, and whether it is over. It is no part of the result.
    """

    def __init__(self, track: str, directory: Path, run: str, settings: Mapping[str, Plain]) -> None:
        """Nothing is begun yet.

        Args:
            track: name of the tracker.
            directory: the run directory.
            run: `fold1-seed0`, or `result`.
            settings: how it was trained.
        """
        self._track, self._directory, self._run, self._settings = track, directory, run, settings
        self._file = directory / "tracked" / track / f"{run}.jsonl"
        self._tracker: GeneralTracker | None = None

    @property
    def is_over(self) -> bool:
        """Whether the tracker was told everything."""
        return bool(self._told().get("over"))

    def forget(self) -> None:
        """The run is trained from its beginning: it is tracked as another one."""
        self._file.unlink(missing_ok=True)

    def begin(self) -> None:
        """Begin the run, or go on with it; raises what its package raises."""
        told = self._told()
        make_folder(self._file.parent)
        about = Tracked(
            result=self._directory.name,
            run=self._run,
            folder=self._directory.absolute(),
            settings={"result": self._directory.name, "run": self._run, **self._settings},
            id=told.get("id"),
        )
        with accelerate_knows_its_process():
            self._tracker, name = TRACKERS[self._track].begin(about)
        self._places = {axis: int(told.get(axis, 0)) for axis in ("epoch", "step")}
        if told.get("id") != name:
            self._note(id=name)

    def log(self, axis: str, place: int, values: Mapping[str, Any]) -> None:
        """Add a point to several curves, unless it was told before.

        Args:
            axis: `epoch` or `step`.
            place: the point's place on it, from 1.
            values: name of the curve to its value; what is None or no number is left out.
        """
        if place <= self._places[axis]:
            return
        self._send(axis, place, values)
        self._places[axis] = place
        self._note(**{axis: place})

    def finish(self, measures: Mapping[str, float]) -> None:
        """Tell the last measures, and that it is over."""
        self._send("epoch", self._places["epoch"], measures)
        self._note(over=True)

    def close(self) -> None:
        """Everything is on its way, or on the disk."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            with accelerate_knows_its_process():
                tracker.finish()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process tracks this run meanwhile; where the file system has no locks, nobody is kept out."""
        make_folder(self._file.parent)
        with self._file.with_suffix(".lock").open("w") as lock:
            if sys.platform != "win32":
                with suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _send(self, axis: str, place: int, values: Mapping[str, Any]) -> None:
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        assert self._tracker is not None
        with accelerate_knows_its_process():
            TRACKERS[self._track].log(self._tracker, numbers, axis, place)

    def _told(self) -> dict[str, Any]:
        """The last of everything that was noted; the end of a line that a kill cut short is told once more."""
        found: dict[str, Any] = {}
        if self._file.exists():
            for line in read_text_file(self._file).splitlines():
                try:
                    found.update(json.loads(line))
                except ValueError:
                    continue
        return found

    def _note(self, **values: Any) -> None:
        append_line(self._file, "\n" + json.dumps(values))  # in this order: after a line that a kill has cut short, too


@contextmanager
def accelerate_knows_its_process() -> Iterator[None]:
    """Let accelerate's trackers work where there is no `Accelerator`: they ask for the number of this process.

    What was made for them goes away again, because the next `Accelerator` would take its device from it.
    """
    from accelerate.state import PartialState

    if PartialState._shared_state:
        yield
        return
    PartialState(cpu=True)
    try:
        yield
    finally:
        PartialState._reset_state()


def plain_settings(config: Mapping[str, Any]) -> dict[str, Plain]:
    """A config as trackers take it: lists become text, and what is not set is left out."""
    told = {name: value for name, value in config.items() if value is not None and not isinstance(value, Mapping)}
    return {name: value if isinstance(value, Plain) else ", ".join(map(str, value)) for name, value in told.items()}
