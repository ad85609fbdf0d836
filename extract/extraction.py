"""What a run of `extract` left behind."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.cache import CacheFolder, FailedUtterance, Sidecar
from mer.cache.failed_shard import FailedShard
from mer.extract.progress import EventCounter


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What a run of `extract` left behind."""

    folder: Path
    """The cache, `<root>/<corpus>/<key12>`."""
    key: str
    """Sha256 of the cache's spec."""
    synthetic: bool
    """Whether the speech is synthetic."""
    utterances: int
    """Asked for and now in the cache."""
    failed: tuple[FailedUtterance, ...]
    """Asked for and not in the cache, with the reasons."""
    failed_shards: tuple[FailedShard, ...]
    """Shards that could not be made; none of their utterances is in the cache."""
    shards: int
    """Shards that hold them."""
    shards_made: int
    """Shards made in this run; the others were there."""
    shards_elsewhere: int
    """Shards of other ranks that are not there yet; 0 without `shard`."""
    audio_seconds: float
    """Seconds of audio extracted in this run."""
    repeated_seconds: float
    """Seconds of audio that went through the encoders in vain, in workers that were lost or slower than another command."""
    bytes_written: int
    """Bytes committed in this run."""
    wall_seconds: float
    """Time from the first forward pass to the last commit."""
    conversions: Mapping[str, int]
    """Files that were resampled or downmixed, counted by what was done."""
    alignments: Mapping[str, int]
    """Utterances by where their segments come from; `none` = one segment over the whole utterance."""


def summary(
    folder: CacheFolder,
    plan: Mapping[str, Sequence[str]],
    counter: EventCounter,
    wall_seconds: float,
    *,
    asked: set[str],
    failed_shards: Sequence[FailedShard] = (),
    shards_elsewhere: int = 0,
) -> Extraction:
    """What the cache holds now of what was asked for.

    Args:
        folder: the cache.
        plan: ids of every planned shard.
        counter: of this run.
        wall_seconds: of this run.
        asked: ids of the utterances that were asked for; a shard may hold others, too.
        failed_shards: that could not be made.
        shards_elsewhere: that others were to make and have not yet.
    """
    sidecars: dict[str, Sidecar] = {}
    for name in sorted(plan.keys() - {failed.shard for failed in failed_shards}):
        sidecar = folder.committed(name)
        if sidecar is not None:
            sidecars[name] = sidecar
    held = [record for sidecar in sidecars.values() for record in sidecar.utterances if record.id in asked]
    conversions: Counter[str] = Counter()
    for sidecar in sidecars.values():
        conversions.update(sidecar.provenance["conversions"])
    return Extraction(
        folder=folder.path,
        key=folder.key,
        synthetic=bool(folder.spec["corpus"]["synthetic"]),
        utterances=len(held),
        failed=tuple(f for sidecar in sidecars.values() for f in sidecar.failed if f.id in asked),
        failed_shards=tuple(failed_shards),
        shards=len(sidecars),
        shards_made=len(counter.done),
        shards_elsewhere=shards_elsewhere,
        audio_seconds=counter.seconds,
        repeated_seconds=counter.repeated_seconds,
        bytes_written=counter.bytes,
        wall_seconds=wall_seconds,
        conversions=dict(conversions),
        alignments=dict(Counter(record.alignment for record in held)),
    )
