"""What a finished result has, for its tracker."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mer.results import Result
from mer.results.metrics_log import read_metrics
from mer.results.names import run_stem
from mer.tracking.errors import TrackingError
from mer.tracking.tracked_run import TrackedRun, plain_settings
from mer.tracking.tracker_kind import Plain

OF_THE_RUN = ("fold", "seed", "epochs", "best_epoch", "validation_ua", "validation_ccc", "temperature", "seconds")
"""What a result holds of a run beside the measures of its test part."""


def track_result(result: Result, track: str | None) -> None:
    """Tell a tracker every run of a result: its settings, its epochs and its measures; and one more of all of them together.

    What it was told already, by this command or an earlier one, is not told again. The result stays as it is.

    Args:
        result: a finished one.
        track: name of the tracker; None does nothing.

    Raises:
        TrackingError: the tracker fails; it says with what, and has the result.
    """
    if track is None:
        return
    try:
        _track(result, track)
    except Exception as problem:  # each of these packages raises what it likes
        raise TrackingError(
            f"{result.directory}: the result is whole, and tracking it with {track} failed "
            f"({type(problem).__name__}: {problem}); the same command sends what is missing",
            result,
        ) from problem


def _track(result: Result, track: str) -> None:
    settings = {"corpus": result.values["corpus"], **plain_settings(result.values["config"])}
    epochs: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for each in read_metrics(result.directory).epochs:
        epochs.setdefault((each["fold"], each["seed"]), []).append(each)
    for row in result.values["runs"]:
        track_run(result.directory, track, settings, row, epochs.get((row["fold"], row["seed"]), []))
    _tell(TrackedRun(track, result.directory, "result", settings), [], result_measures(result.values))


def track_run(
    directory: Path, track: str, settings: Mapping[str, Plain], row: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]]
) -> None:
    """Tell what is not told yet of a run that has ended; raises what the tracker's package raises.

    Args:
        directory: the run directory.
        track: name of the tracker.
        settings: how all runs of the result were trained.
        row: what the result says of the run, or will say.
        epochs: lines of `metrics.jsonl`, in order.
    """
    settings = {**settings, "fold": row["fold"], "seed": row["seed"]}
    _tell(TrackedRun(track, directory, run_stem(row["fold"], row["seed"]), settings), epochs, run_measures(row))


def _tell(run: TrackedRun, epochs: Sequence[Mapping[str, Any]], measures: Mapping[str, float]) -> None:
    with run.alone():
        if run.is_over:
            return
        try:
            run.begin()
            for each in epochs:
                run.log("epoch", each["epoch"], epoch_curves(each))
            run.finish(measures)
        finally:
            run.close()


def epoch_curves(epoch: Mapping[str, Any]) -> dict[str, Any]:
    """Name of each curve to its value at an epoch: `epoch/train_loss` and so on."""
    return {f"epoch/{name}": value for name, value in epoch.items() if name not in ("fold", "seed", "epoch")}


def run_measures(run: Mapping[str, Any]) -> dict[str, Any]:
    """Measures of the test part of one run, and the epoch whose weights were tested: `test/ua` and so on."""
    measures = {f"test/{name}": value for name, value in run.items() if name not in OF_THE_RUN}
    return {"best_epoch": run["best_epoch"], **measures}


def result_measures(values: Mapping[str, Any]) -> dict[str, Any]:
    """Measures over all folds and seeds, as tables show them: `test/ua/mean_of_folds` and so on."""
    measures = {
        f"test/{name}/{statistic}": value
        for name, statistics in values["summary"]["all"].items()
        if isinstance(statistics, Mapping)
        for statistic, value in statistics.items()
    }
    return {"runs": len(values["runs"]), "failed_runs": len(values["failed_runs"]), **measures}
