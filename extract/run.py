"""`mer extract`: from a corpus to a feature cache, resumable at any moment."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mer.cache import CacheFolder, FailedUtterance, Sidecar
from mer.corpus import Corpus
from mer.extract.config import ExtractConfig, ExtractError, Resources
from mer.extract.encode import STORAGE, Encoders
from mer.extract.identity import make_spec
from mer.extract.planning import Planning
from mer.extract.precision import one_thread_on_cpu
from mer.extract.pretrained import resolve_device
from mer.extract.workers import Committed, Encoded, Event, Unit, load_encoders, run_here, run_in_processes

# Units per second of English speech, for planning only (measured on IEMOCAP: docs/cache-format.md).
UNITS_PER_SECOND = {"P": 11.0, "S": 4.5, "W": 3.0, "T": 4.5}
DISK_MARGIN = 1.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far an extraction is."""

    utterances: int
    """Through the encoders, in this run."""
    utterances_total: int
    """To do in this run."""
    seconds: float
    """Of audio through the encoders."""
    seconds_total: float
    """Of audio to do in this run."""
    bytes: int
    """Committed to disk in this run."""


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
    shards: int
    """Shards that hold them."""
    shards_made: int
    """Shards made in this run; the others were there."""
    audio_seconds: float
    """Seconds of audio extracted in this run."""
    bytes_written: int
    """Bytes committed in this run."""
    wall_seconds: float
    """Time from the first forward pass to the last commit."""
    conversions: Mapping[str, int]
    """Files that were resampled or downmixed, counted by what was done."""
    alignments: Mapping[str, int]
    """Utterances by where their segments come from; `none` = one segment over the whole utterance."""


def extract(
    corpus: Corpus,
    config: ExtractConfig,
    cache: Path,
    *,
    resources: Resources | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Extraction:
    """Extract a corpus into a cache; what an earlier run committed is kept, bytes do not depend on interruptions.

    Args:
        corpus: Utterances to extract.
        config: What to extract; with the encoders' weights it names the cache.
        cache: Root of the caches; the features go to `<cache>/<corpus>/<key12>/`.
        resources: Device, processes, batch sizes.
        on_progress: Called after each batch.

    Raises:
        ExtractError: nothing to extract, an encoder that cannot be had, a disk too small, a worker that died.
        CacheError: a cache folder that holds something else.
    """
    resources = resources or Resources()
    if not len(corpus):
        raise ExtractError(f"corpus {corpus.name!r} has no utterances with these labels and sessions")
    with one_thread_on_cpu(resolve_device(resources.device)):
        return _extract(corpus, config, cache, resources, on_progress)


def _extract(
    corpus: Corpus, config: ExtractConfig, cache: Path, resources: Resources, on_progress: Callable[[Progress], None]
) -> Extraction:
    encoders = load_encoders(config, resources)
    folder = CacheFolder.create(cache, make_spec(corpus, config, encoders))
    folder.sweep_temporaries()
    planning = Planning(
        corpus,
        folder,
        expected_bytes=lambda seconds: _expected_bytes(seconds, config, encoders),
        target_bytes=resources.shard_bytes,
    )
    shards = list(planning.shards())
    todo = list(planning.to_do(shards))
    units = [Unit(name=shard.name, utterances=planning.utterances(shard)) for shard in todo]
    expected = planning.expected(todo)
    check_disk(folder.path, expected.bytes)
    counter = EventCounter(expected.utterances, expected.seconds, on_progress)
    started = time.monotonic()
    if units:
        _run(units, encoders, folder, config, resources, counter)
    plan = {shard.name for shard in shards}
    sidecars = {name: sidecar for name, sidecar in folder.sidecars().items() if name in plan}
    return summary(corpus, folder, sidecars, counter, len(units), time.monotonic() - started)


def default_workers(device: torch.device, units: int) -> int:
    """One process per core on a CPU, never more than there are shards; one on a GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if device.type == "cuda" else max(1, min(cores, units))


def _run(
    units: Sequence[Unit],
    encoders: Encoders,
    folder: CacheFolder,
    config: ExtractConfig,
    resources: Resources,
    on_event: Callable[[Event], None],
) -> None:
    workers = resources.workers or default_workers(resolve_device(resources.device), len(units))
    if workers > 1:
        run_in_processes(units, folder.path, config, resources, min(workers, len(units)), on_event)
        return
    run_here(units, encoders, folder, config, resources, on_event)


class EventCounter:
    """Adds up the events of all workers and reports them."""

    def __init__(self, utterances: int, seconds: float, on_progress: Callable[[Progress], None]) -> None:
        self.utterances_total, self.seconds_total = utterances, seconds
        self.utterances, self.seconds, self.bytes = 0, 0.0, 0
        self._on_progress = on_progress

    def __call__(self, event: Event) -> None:
        """Count one event."""
        match event:
            case Encoded(utterances, seconds):
                self.utterances += utterances
                self.seconds += seconds
            case Committed(_, size):
                self.bytes += size
        self._on_progress(
            Progress(
                utterances=self.utterances,
                utterances_total=self.utterances_total,
                seconds=self.seconds,
                seconds_total=self.seconds_total,
                bytes=self.bytes,
            )
        )


def _expected_bytes(seconds: float, config: ExtractConfig, encoders: Encoders) -> int:
    """Size of an utterance's features, from its duration alone: exact for frames, typical for the rest."""
    value = STORAGE[config.storage].itemsize
    total = 0.0
    for granularity in config.granularities:
        encoder = encoders.text if granularity == "T" else encoders.speech
        assert encoder is not None
        if granularity == "F":
            assert encoders.speech is not None
            units: float = encoders.speech.frame_count(int(seconds * encoders.speech.sample_rate))
        else:
            units = max(1.0, seconds * UNITS_PER_SECOND[granularity])
        total += units * len(encoder.layers) * encoder.dim * value
    return int(total)


def check_disk(folder: Path, planned: int) -> None:
    """Refuse to begin what will not fit.

    Args:
        folder: the cache.
        planned: bytes that will be written.

    Raises:
        ExtractError: too little is free.
    """
    free = shutil.disk_usage(folder).free
    if planned * DISK_MARGIN > free:
        raise ExtractError(
            f"{folder}: {planned * DISK_MARGIN / 1e9:.1f} GB will be written, the disk has {free / 1e9:.1f} GB free. Give "
            f"--cache on a larger disk, or leave the frames out: --granularity P+S+W+T needs about a third"
        )


def summary(
    corpus: Corpus,
    folder: CacheFolder,
    sidecars: Mapping[str, Sidecar],
    counter: EventCounter,
    made: int,
    wall_seconds: float,
) -> Extraction:
    """What the cache holds now of what was asked for.

    Args:
        corpus: what was asked for.
        folder: the cache.
        sidecars: of the planned shards.
        counter: of this run.
        made: shards made in this run.
        wall_seconds: of this run.
    """
    asked = {u.id for u in corpus}
    held = [record for sidecar in sidecars.values() for record in sidecar.utterances if record.id in asked]
    conversions: Counter[str] = Counter()
    for sidecar in sidecars.values():
        conversions.update(sidecar.provenance["conversions"])
    return Extraction(
        folder=folder.path,
        key=folder.key,
        synthetic=corpus.synthetic,
        utterances=len(held),
        failed=tuple(f for sidecar in sidecars.values() for f in sidecar.failed if f.id in asked),
        shards=len(sidecars),
        shards_made=made,
        audio_seconds=counter.seconds,
        bytes_written=counter.bytes,
        wall_seconds=wall_seconds,
        conversions=dict(conversions),
        alignments=dict(Counter(record.alignment for record in held)),
    )
