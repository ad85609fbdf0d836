"""What a run of `extract` left behind."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.cache import CacheFolder, FailedUtterance
from mer.cache.failed_shard import FailedShard
from mer.corpus.sound_quality import ODD_SOUNDS
from mer.extract.own_units import TIERS, TierCount, Whole, count_tiers, missing_tiers
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
    stage_seconds: Mapping[str, float]
    """What each stage of this run took, all workers together; stages overlap, so that they add up to more than the wall time."""
    gpu_waits: float | None
    """Share of the time in which the GPUs encoded nothing; None without one."""
    conversions: Mapping[str, int]
    """Files that were resampled or downmixed, counted by what was done."""
    odd_sounds: Mapping[str, Sequence[str]]
    """Ids of utterances whose recording is silent, clipped or odd in another way, by what it is."""
    alignments: Mapping[str, int]
    """Utterances by where their segments come from; `none` = one segment over the whole utterance."""
    tiers: Mapping[str, TierCount]
    """How many utterances have units of each of P, S and W that is wanted."""

    @property
    def missing_tiers(self) -> dict[str, str]:
        """Wanted tiers that have no usable units, and what to say of them."""
        return missing_tiers(self.tiers)


def summary(
    folder: CacheFolder,
    shards: Iterable[str],
    counter: EventCounter,
    wall_seconds: float,
    *,
    asked: Callable[[Sequence[str]], NDArray[np.bool_]],
    failed_shards: Sequence[FailedShard] = (),
    shards_elsewhere: int = 0,
) -> Extraction:
    """What the cache holds now of what was asked for.

    Args:
        folder: the cache.
        shards: names of those that should be there; one that is not is passed over.
        counter: of this run.
        wall_seconds: of this run.
        asked: which of some ids were asked for; a shard may hold others, too.
        failed_shards: that could not be made.
        shards_elsewhere: that others were to make and have not yet.
    """
    held, there, failed = 0, 0, list[FailedUtterance]()
    conversions, alignments = Counter[str](), Counter[str]()
    odd: dict[str, list[str]] = {}
    recorded: list[tuple[list[str], list[str], Whole | None]] = []
    for name in sorted(shards):
        sidecar = folder.committed(name)
        if sidecar is None:
            continue
        there += 1
        conversions.update(sidecar.provenance["conversions"])
        for sort, ids in sidecar.provenance.get("odd_sounds", {}).items():
            odd.setdefault(ODD_SOUNDS[sort] if sort in ODD_SOUNDS else sort, []).extend(compress(ids, asked(ids)))
        records = list(compress(sidecar.utterances, asked([record.id for record in sidecar.utterances])))
        held += len(records)
        alignments.update(record.alignment for record in records)
        without = [record.id for record in records if record.alignment == "none"]
        recorded.append(([record.id for record in records], without, sidecar.provenance.get("whole_segments")))
        failed += compress(sidecar.failed, asked([each.id for each in sidecar.failed]))
    return Extraction(
        folder=folder.path,
        key=folder.key,
        synthetic=bool(folder.spec["corpus"]["synthetic"]),
        utterances=held,
        failed=tuple(failed),
        failed_shards=tuple(failed_shards),
        shards=there,
        shards_made=len(counter.done),
        shards_elsewhere=shards_elsewhere,
        audio_seconds=counter.seconds,
        repeated_seconds=counter.repeated_seconds,
        bytes_written=counter.bytes,
        wall_seconds=wall_seconds,
        stage_seconds=counter.times.seconds,
        gpu_waits=counter.times.waited,
        conversions=dict(conversions),
        odd_sounds={kind: sorted(ids) for kind, ids in sorted(odd.items()) if ids},
        alignments=dict(alignments),
        tiers=count_tiers([g for g in folder.spec["granularities"] if g in TIERS], recorded),
    )
