"""`mer extract`: from a corpus to a feature cache, resumable at any moment, on any backend."""

import contextlib
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mer.backends import Backend, LocalBackend, Unit, UnitFailed, own_share
from mer.backends.local import cores
from mer.cache import CacheError, CacheFolder, pending, plan_shards
from mer.cache.failed_shard import FailedShard
from mer.corpus import Corpus, Utterance
from mer.corpus.audio import AudioError, read_header
from mer.extract.config import ExtractConfig, ExtractError, Resources
from mer.extract.encode import STORAGE, Encoders
from mer.extract.extraction import Extraction, summary
from mer.extract.identity import make_spec
from mer.extract.inputs import Fingerprints
from mer.extract.precision import one_thread_on_cpu
from mer.extract.pretrained import resolve_device
from mer.extract.progress import EventCounter, Progress
from mer.extract.workers import ExtractWork, ShardToMake, load_encoders

# Units per second of English speech, for planning only (measured on IEMOCAP: docs/cache-format.md).
UNITS_PER_SECOND = {"P": 11.0, "S": 4.5, "W": 3.0, "T": 4.5}
DISK_MARGIN = 1.05


def extract(
    corpus: Corpus,
    config: ExtractConfig,
    cache: Path,
    *,
    resources: Resources | None = None,
    backend: Backend | None = None,
    shard: tuple[int, int] | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_notice: Callable[[str], None] = lambda text: None,
) -> Extraction:
    """Extract a corpus into a cache; what an earlier run committed is kept, bytes do not depend on interruptions.

    Args:
        corpus: Utterances to extract.
        config: What to extract; with the encoders' weights it names the cache.
        cache: Root of the caches; the features go to `<cache>/<corpus>/<key12>/`.
        resources: Device, processes, batch sizes.
        backend: Where shards are made; None = `resources.workers` processes of this machine.
        shard: Rank and number of ranks: make this rank's share only, while others make theirs of the same corpus.
        on_progress: Called after each batch.
        on_notice: Hears in words of workers that were lost and of shards that failed.

    Raises:
        ExtractError: nothing to extract, an encoder that cannot be had, a disk too small.
        BackendError: no workers to be had, or only such with other code or models.
        CacheError: a cache folder that holds something else.
    """
    resources = resources or Resources()
    if not len(corpus):
        raise ExtractError(f"corpus {corpus.name!r} has no utterances with these labels and sessions")
    with one_thread_on_cpu(resolve_device(resources.device if backend is None else "cpu")):
        return _extract(corpus, config, cache, resources, backend, shard, (on_progress, on_notice))


def _extract(
    corpus: Corpus,
    config: ExtractConfig,
    cache: Path,
    resources: Resources,
    backend: Backend | None,
    shard: tuple[int, int] | None,
    listeners: tuple[Callable[[Progress], None], Callable[[str], None]],
) -> Extraction:
    # Other processes load their own encoders: the launcher needs only names and sizes, and no part of a GPU.
    here = backend is None and most_workers(resources) == 1
    encoders = load_encoders(config, resources if here else replace(resources, device="cpu"))
    folder = CacheFolder.create(cache, make_spec(corpus, config, encoders))
    counter = EventCounter(*listeners, size_of=folder.shard_bytes)
    folder.sweep_temporaries()
    utterances = {u.id: u for u in corpus}
    seconds = {u.id: audio_seconds(u) for u in corpus}
    sizes = {u.id: _expected_bytes(u, seconds[u.id], config, encoders) for u in corpus}
    fingerprints = Fingerprints(utterances)
    wanted = [(u.id, u.session, sizes[u.id]) for u in corpus]
    plan = plan_shards(folder, wanted, target_bytes=resources.shard_bytes, fingerprints=fingerprints)
    mine = {name: plan[name] for name in own_shards(plan, seconds, shard)}
    units = [
        Unit(
            name=name,
            cost=sum(seconds[i] for i in plan[name]),
            content=ShardToMake(utterances=tuple(utterances[i] for i in plan[name]), replaces=folder.mark(name)),
        )
        for name in pending(folder, mine, fingerprints)
    ]
    check_disk(folder.path, sum(sizes[u.id] for unit in units for u in unit.content.utterances))
    for unit in units:
        counter.expect(unit.name, len(unit.content.utterances), unit.cost)
    started = time.monotonic()
    alone = False
    if backend is None:
        backend = local_backend(resources, len(units))
        alone = backend.workers == 1 and encoders.device == resolve_device(resources.device)
    work = ExtractWork(folder=folder, config=config, resources=resources, encoders=encoders if alone else None)
    del encoders
    units.sort(key=lambda unit: (-unit.cost, unit.name))
    failed = run_units(work, units, backend, counter) if units else ()
    wall_seconds = time.monotonic() - started
    folder.sweep_temporaries()  # of workers that were lost
    asked = utterances.keys() & {i for ids in mine.values() for i in ids}
    missing = sum(folder.committed(name) is None for name in plan.keys() - mine.keys())
    return summary(folder, mine, counter, wall_seconds, asked=asked, failed_shards=failed, shards_elsewhere=missing)


def own_shards(plan: Mapping[str, Sequence[str]], seconds: Mapping[str, float], shard: tuple[int, int] | None) -> list[str]:
    """The shards that a rank makes: decided by the whole plan, not by what is left, so that ranks may start when they like."""
    if shard is None:
        return list(plan)
    units = (Unit(name=name, cost=sum(seconds.get(i, 0.0) for i in ids), content=None) for name, ids in plan.items())
    return [unit.name for unit in own_share(units, *shard)]


def most_workers(resources: Resources) -> int:
    """Processes for plenty of shards: as asked for, else one per core or per GPU."""
    if resources.workers is not None:
        return resources.workers
    device = resolve_device(resources.device)
    if device.type == "cuda":
        return 1 if device.index is not None else torch.cuda.device_count()
    return cores()


def local_backend(resources: Resources, units: int) -> LocalBackend:
    """Processes of this machine, never more than there are shards; on a CPU with one thread each.

    That gives the most, and the same bytes for any number of processes.
    """
    device = resolve_device(resources.device)
    workers = max(1, min(most_workers(resources), units))
    threads = 1 if device.type == "cpu" else None
    return LocalBackend(workers=workers, device=str(device), threads=threads, gpus=torch.cuda.device_count())


def run_units(work: ExtractWork, units: Sequence[Unit], backend: Backend, counter: EventCounter) -> tuple[FailedShard, ...]:
    """Have every shard made; what fails is recorded in the cache's folder at once, and returned."""
    folder = work.folder
    failed: dict[str, FailedShard] = {}

    def tell(event: object) -> None:
        if isinstance(event, UnitFailed):
            failed[event.name] = FailedShard(
                shard=event.name, reason=event.reason, tries=event.tries, host=platform.node(), time=time.time()
            )
            with contextlib.suppress(CacheError):  # the disk may be full; the result says it anyway
                folder.record_failure(failed[event.name])
        counter(event)

    backend.run(work, units, tell=tell)
    by_name = {unit.name: unit for unit in units}
    for name in [name for name in failed if work.is_done(by_name[name])]:  # another command has made it meanwhile
        del failed[name]
    for name in folder.wait_for(by_name.keys() - failed.keys()):
        reason = f"a worker has committed it, but it is not in {folder.path} here: every machine must see the same folder"
        tell(UnitFailed(name=name, reason=reason, tries=1))
    for name in by_name.keys() - failed.keys():
        folder.forget_failure(name)
    return tuple(failed[name] for name in sorted(failed))


def audio_seconds(utterance: Utterance) -> float:
    """Duration from the header; 0 for what cannot be read (it fails with its reason when its turn comes)."""
    try:
        return read_header(utterance.wav).seconds
    except AudioError:
        return 0.0


def _expected_bytes(utterance: Utterance, seconds: float, config: ExtractConfig, encoders: Encoders) -> int:
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
