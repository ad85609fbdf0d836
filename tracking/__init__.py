"""Curves and measures of trainings for TensorBoard, Weights & Biases and MLflow, through accelerate's trackers.

A run directory holds everything already; a tracker is told the same once more. `track_result` sends what a finished result
has, and nothing twice; `TrackedRun` is one run of it, which fine-tuning tells while it trains. Another tracker is a class and
an entry of `TRACKERS`.
"""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.tracking.errors import TrackingError as TrackingError
    from mer.tracking.tracked_result import track_result as track_result
    from mer.tracking.tracked_run import TrackedRun as TrackedRun
    from mer.tracking.tracker_kind import Tracked as Tracked
    from mer.tracking.tracker_kind import TrackerKind as TrackerKind
    from mer.tracking.trackers import TRACKERS as TRACKERS
    from mer.tracking.trackers import check_tracking as check_tracking
else:
    __getattr__ = lazy(__name__)
