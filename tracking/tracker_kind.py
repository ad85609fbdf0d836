"""What `mer` needs of a tracker."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

Plain = bool | int | float | str
"""What all trackers take as a setting."""

PROJECT = "mer"
"""Project or experiment that runs are put into, unless the tracker's own settings name another."""


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """One run that a tracker is told of: that of a fold and a seed, or `result`, what all of them together gave."""

    result: str
    """Name of the run directory; it groups the runs of one result."""
    run: str
    """`fold1-seed0`, or `result`."""
    folder: Path
    """The run directory."""
    settings: Mapping[str, Plain]
    """How it was trained."""
    id: str | None
    """What the tracker called it when an earlier command began it; None for a new one."""


class TrackerKind:
    """A tracker: subclass it, and add an instance to `TRACKERS`."""

    package = ""
    """Name of the Python package that it needs."""
    install = ""
    """What `pip install` is given to have that package."""

    def missing(self) -> str | None:
        """Why nothing can be tracked with it here, and what to do; None where it can."""
        if find_spec(self.package) is None:
            return f"the package {self.package} is not installed: `pip install {self.install}`"
        return None

    def begin(self, about: Tracked) -> "tuple[GeneralTracker, str]":
        """Begin a run with its settings, or go on with one.

        Returns:
            A tracker of accelerate that has started, and what it calls the run.
        """
        raise NotImplementedError

    def log(self, tracker: "GeneralTracker", values: Mapping[str, float], axis: str, place: int) -> None:
        """Add one point to several curves.

        Args:
            tracker: as `begin` gave it.
            values: name of the curve to its value.
            axis: what the curves are drawn over: `epoch` or `step`.
            place: the point's place on the axis.
        """
        tracker.log(dict(values), step=place)
