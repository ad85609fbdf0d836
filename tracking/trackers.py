"""The trackers by name: what a user gives to `--track`."""

import os
import re
import shutil
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from mer.settings.option import option
from mer.settings.registry import Registry
from mer.tracking.errors import TrackingError
from mer.tracking.tracker_kind import PROJECT, Tracked, TrackerKind

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

TRACKERS: Registry[TrackerKind] = Registry("tracker")
"""Name to tracker."""

track_option = partial(
    option,
    default=None,
    help="Also draw the curves and measures of every run with this tracker (docs/tracking.md). Default: none.",
    choices=TRACKERS,
    identity=False,
    noted=False,
)


def check_tracking(track: str | None) -> None:
    """Refuse a tracker that is not there, before anything is trained.

    Raises:
        TrackingError: its package is not installed, or it does not know who sends; with the command that helps.
        UnknownEntryError: nobody has added it.
    """
    if track is not None and (why := TRACKERS[track].missing()):
        raise TrackingError(f"track {track}: {why}, or leave --track away: the run directory holds every number without it")


class TensorBoard(TrackerKind):
    """Event files in the run directory, `tensorboard/fold1-seed0/`."""

    package = "tensorboard"
    install = '"mer-fusion[tensorboard]"'

    def begin(self, about: Tracked) -> "tuple[GeneralTracker, str]":
        """Write a new event file beside those of earlier commands."""
        from accelerate.tracking import TensorBoardTracker

        if about.id is None:
            shutil.rmtree(about.folder / "tensorboard" / about.run, ignore_errors=True)  # points of a run that begins anew
        tracker = TensorBoardTracker(about.run, about.folder / "tensorboard")
        tracker.start()
        if about.id is None:
            tracker.store_init_configuration(dict(about.settings))
        return tracker, about.run


class WeightsAndBiases(TrackerKind):
    """A run of Weights & Biases; with `WANDB_MODE=offline` a folder in the run directory, `wandb/offline-run-...`."""

    package = "wandb"
    install = '"mer-fusion[wandb]"'

    def missing(self) -> str | None:
        """Also asks for the key, now and not in the middle of a training."""
        if why := super().missing():
            return why
        import wandb
        from wandb.errors import UsageError

        if wandb.setup().settings.mode != "online":
            return None
        try:
            known = wandb.login()
        except UsageError:
            known = False
        return None if known else "nobody is logged in: `wandb login`, or WANDB_MODE=offline to keep the runs here"

    def begin(self, about: Tracked) -> "tuple[GeneralTracker, str]":
        """Runs of one result are a group; the id is chosen here, so that it is known without a network."""
        import wandb
        from accelerate.tracking import WandBTracker

        name = about.id or uuid4().hex
        tracker = WandBTracker(
            os.environ.get("WANDB_PROJECT", PROJECT),
            id=name,
            name=f"{about.result} {about.run}",
            group=about.result,
            config=dict(about.settings),
            dir=os.environ.get("WANDB_DIR", str(about.folder)),
            resume=None if about.id is None else "allow",
            reinit="create_new",  # a run that a notebook of the user's has open stays as it is
            settings=wandb.Settings(silent=True, console="off"),  # what is printed here is no part of the run
        )
        tracker.start()
        # Its own count of points is no place on an axis that is gone on with.
        tracker.tracker.define_metric("*", step_metric="step")
        tracker.tracker.define_metric("epoch/*", step_metric="epoch")
        return tracker, name

    def log(self, tracker: "GeneralTracker", values: Mapping[str, float], axis: str, place: int) -> None:
        """The place is a value beside the others."""
        tracker.log({**values, axis: place})


class MLflow(TrackerKind):
    """A run of MLflow, on the server or in the database that `MLFLOW_TRACKING_URI` names; else in `mlflow.db` here."""

    package = "mlflow"
    install = '"mer-fusion[mlflow]"'

    def missing(self) -> str | None:
        """Also makes the database and the experiment: two processes that did it at once would fail."""
        if why := super().missing():
            return why
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell its makers of each call
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        import mlflow

        try:
            mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        except Exception as problem:  # a server that is not there, a database that is none, each in its own way
            return f"{mlflow.get_tracking_uri()} takes no runs ({problem}): give another one as MLFLOW_TRACKING_URI"
        return None

    def begin(self, about: Tracked) -> "tuple[GeneralTracker, str]":
        """Runs of one result share the tag `mer.result`."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from accelerate.tracking import MLflowTracker

        tracker = MLflowTracker(
            PROJECT,
            run_id=about.id,
            tags={"mer.result": about.result, "mer.run": about.run},
            nested_run=True,  # a run that a notebook of the user's has open stays as it is
            run_name=f"{about.result} {about.run}",
        )
        tracker.start()
        if about.id is None:
            tracker.store_init_configuration(dict(about.settings))
        return tracker, str(tracker.tracker.info.run_id)

    def log(self, tracker: "GeneralTracker", values: Mapping[str, float], axis: str, place: int) -> None:
        """Names of own metrics may have signs that it refuses."""
        tracker.log({re.sub(r"[^\w\-. :/]", "_", name): value for name, value in values.items()}, step=place)


TRACKERS.add("tensorboard", TensorBoard())
TRACKERS.add("wandb", WeightsAndBiases())
TRACKERS.add("mlflow", MLflow())
