"""Every step of a training as a line of `steps.jsonl`, and as a point of a tracker's curves where they are asked for."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mer.files import append_line
from mer.finetune.events import EpochDone, Event, RunStarted, StepDone, TrackingFailed
from mer.results.names import run_stem
from mer.tracking.tracked_result import epoch_curves, run_measures
from mer.tracking.tracked_run import TrackedRun

PLACE = ("fold", "seed", "epochs", "steps", "epoch", "step")
"""Fields of a step that are no curve."""


class StepLog:
    """Keeps what one run reports in its run directory, and tells its tracker while it trains."""

    def __init__(
        self, directory: Path, track: str | None, settings: Mapping[str, Any], tell: Callable[[TrackingFailed], None]
    ) -> None:
        """Nothing is opened yet.

        Args:
            directory: the run directory.
            track: name of the tracker, or None.
            settings: how all runs of the result are trained, as trackers take them.
            tell: hears that the tracker failed; the run trains on, and is not tracked any more.
        """
        self._directory, self._track, self._settings, self._tell = directory, track, settings, tell
        self._run: TrackedRun | None = None

    def take(self, event: Event) -> None:
        """Keep a step or an epoch."""
        match event:
            case RunStarted():
                self._try(lambda: self._open(event))
            case StepDone():
                append_line(self._directory / "steps.jsonl", json.dumps(asdict(event), allow_nan=False) + "\n")
                done = (event.epoch - 1) * event.steps + event.step
                self._draw("step", done, {key: value for key, value in asdict(event).items() if key not in PLACE})
            case EpochDone():
                self._draw("epoch", event.epoch.epoch, epoch_curves(asdict(event.epoch)))
            case _:
                pass

    def finish(self, row: Callable[[], Mapping[str, Any]]) -> None:
        """The run has ended; `row` gives what the result will say of it."""
        run = self._run
        if run is not None:
            measures = run_measures(row())
            self._try(lambda: run.finish(measures))

    def close(self) -> None:
        """Finish the curves, whether the run has ended or is to go on later."""
        run, self._run = self._run, None
        if run is not None:
            self._try(run.close)

    def _open(self, event: RunStarted) -> None:
        if self._track is None:
            return
        settings = {**self._settings, "fold": event.fold, "seed": event.seed}
        run = TrackedRun(self._track, self._directory, run_stem(event.fold, event.seed), settings)
        if event.resumed is None:
            run.forget()
        run.begin()
        self._run = run

    def _draw(self, axis: str, place: int, values: Mapping[str, Any]) -> None:
        run = self._run
        if run is not None:
            self._try(lambda: run.log(axis, place, values))

    def _try(self, action: Callable[[], None]) -> None:
        """A tracker that fails ends nothing but its curves: hours of training are worth more."""
        try:
            action()
        except Exception as problem:  # each of these packages raises what it likes
            self._run = None
            self._tell(TrackingFailed(tracker=str(self._track), reason=f"{type(problem).__name__}: {problem}"))
