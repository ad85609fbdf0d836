"""Train one head over all folds and seeds, resumably, and write its result."""

from pathlib import Path

from mer.backends.device import training_device
from mer.heads.config import HeadConfig
from mer.heads.features.feature_store import FeatureStore
from mer.heads.features.features import Features
from mer.heads.progress import Progress, ignore
from mer.heads.training.planned_head import PlannedHead, plan_head
from mer.results import Result
from mer.tracking.tracked_result import track_result
from mer.tracking.trackers import check_tracking


def train_head(
    cache: Features,
    config: HeadConfig,
    runs: Path | str,
    *,
    progress: Progress | None = None,
    command: str | None = None,
    store: FeatureStore | None = None,
) -> Result:
    """Train every (fold, seed) of `config` and write `runs/<corpus>-<fusion>-<granularities>-<fingerprint>/`.

    A run that is finished stays finished: after an interruption the same call does the rest and gives what an
    uninterrupted one gives. A result that is already there is returned, never trained again. Two commands that train the
    same result at once do some work twice and end with the same.

    Args:
        cache: the feature cache.
        config: the head, its features and its protocol.
        runs: folder of run directories.
        progress: called with what happens.
        command: the command line, for `provenance.json`.
        store: features that an earlier call has opened, for the rows of a table; None opens them.

    Raises:
        HeadError: features or folds that the cache does not hold, a run directory of another config, or no run that
            ended with a number.
        ProtocolError: data that cannot be split as asked.
        TrackingError: a tracker that is not there; or one that failed, after the result was written.
    """
    check_tracking(config.track)
    store = store or open_store(config)
    head = plan_head(cache, config, runs)
    if head.result() is None and head.pending():
        head.note_start(command, str(store.device))
        head.train(head.keys, store, progress or ignore)
    result = finish_head(head)
    track_result(result, config.track)
    return result


def finish_head(head: PlannedHead) -> Result:
    """Write the result of a head whose runs have ended, here or elsewhere; one that is there already is returned.

    Raises:
        UnfinishedError: runs of it have not ended.
        HeadError: no run ended with a number.
    """
    existing = head.result()
    return Result(directory=head.directory.path, values=existing or head.finish(), reused=existing is not None)


def open_store(config: HeadConfig) -> FeatureStore:
    """A store on the device and within the limits of `config`; pass it to several calls to load features once.

    Raises:
        DeviceError: a device that is not there.
    """
    device = training_device(config.device)
    return FeatureStore(device, ram_gib=config.ram_gib, device_memory_gib=config.device_memory_gib)
