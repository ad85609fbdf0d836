"""`mer extract`: from a corpus to a feature cache, resumable at any moment, on any backend."""

import contextlib
import platform
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from mer.backends import Backend, LocalBackend, Task, TaskFailed
from mer.backends.device import resolve_device
from mer.backends.local import TASKS_IN_HAND, cores
from mer.cache import CacheError, CacheFolder, cache_key
from mer.cache.failed_shard import FailedShard
from mer.cache.starts import start_noted
from mer.corpus import Corpus
from mer.corpus.audio import read_recording
from mer.corpus.given_texts import read_texts, with_texts
from mer.extract.config import ExtractConfig, ExtractError, Resources
from mer.extract.extraction import Extraction, summary
from mer.extract.feature_size import feature_size
from mer.extract.identity import STATEMENTS, earlier_spec, make_spec
from mer.extract.inputs import WaveReader
from mer.extract.planning import PLANNED_WHOLE, Planning
from mer.extract.precision import one_thread_on_cpu
from mer.extract.progress import EventCounter, ExtractionProgress
from mer.extract.shard_tasks import ShardTasks
from mer.extract.workers import ExtractWork, load_encoders

DISK_MARGIN = 1.05
SHARDS_IN_HAND = 3  # of a GPU's worker: one is written, one encoded, one decoded


def extract(
    corpus: Corpus,
    config: ExtractConfig,
    cache: Path | str,
    *,
    resources: Resources | None = None,
    backend: Backend | None = None,
    shard: tuple[int, int] | None = None,
    read: WaveReader | None = None,
    on_progress: Callable[[ExtractionProgress], None] = lambda progress: None,
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
        read: Where waveforms come from; None = the recordings. `decoded_once` serves several extractions of one corpus.
        on_progress: Called after each batch.
        on_notice: Hears in words of workers that were lost and of shards that failed.

    Raises:
        ExtractError: nothing to extract, an encoder that cannot be had, a disk too small.
        BackendError: no workers to be had, or only such with other code or models.
        CacheError: a cache folder that holds something else.
        CorpusError: transcripts of `config.texts` that cannot be read, or that lack utterances.
    """
    resources = resources or Resources()
    if not len(corpus):
        raise ExtractError(f"corpus {corpus.name!r} has no utterances with these labels and sessions")
    if config.texts is not None:
        corpus, _ = with_texts(corpus, read_texts(config.texts))
    with one_thread_on_cpu(resolve_device(resources.device if backend is None else "cpu")):
        return _extract(corpus, config, Path(cache), resources, backend, (shard, read), (on_progress, on_notice))


def _extract(
    corpus: Corpus,
    config: ExtractConfig,
    cache: Path,
    resources: Resources,
    backend: Backend | None,
    given: tuple[tuple[int, int] | None, WaveReader | None],
    listeners: tuple[Callable[[ExtractionProgress], None], Callable[[str], None]],
) -> Extraction:
    shard, read = given
    # Other processes load their own encoders: the launcher needs only names and sizes, and no part of a GPU.
    here = backend is None and most_workers(resources) == 1
    encoders = load_encoders(config, resources if here else replace(resources, device="cpu"))
    folder = CacheFolder.create(cache, make_spec(corpus, config, encoders))
    for notice in (*encoders.notices, *_replaced(cache, folder)):
        listeners[1](notice)
    counter = EventCounter(*listeners, size_of=folder.shard_bytes)
    folder.sweep_temporaries()
    planning = Planning(corpus, folder, expected_bytes=feature_size(config, encoders), target_bytes=resources.shard_bytes)
    stream = ShardTasks(planning, folder, counter, shard)
    tasks: Iterable[Task] = stream
    shards = None
    if len(corpus) <= PLANNED_WHOLE:
        tasks = sorted(stream, key=lambda task: (-task.cost, task.name))
        shards = len(tasks)
    expected = planning.expected(None if shards is None else [stream.own[task.name] for task in tasks])
    ranks = shard[1] if shard and shards is None else 1
    check_disk(folder.path, expected.bytes // ranks)
    if shards is None:
        counter.expect_in_all(expected.utterances // ranks, expected.seconds / ranks)
    started = time.monotonic()
    alone = False
    if backend is None:
        backend = local_backend(resources, shards)
        alone = backend.workers == 1 and encoders.device == resolve_device(resources.device)
    work = ExtractWork(
        folder=folder, config=config, resources=resources, read=read or read_recording, encoders=encoders if alone else None
    )
    del encoders
    with _noted(folder, stream, backend):
        failed = run_tasks(work, tasks, backend, counter, stream) if shards != 0 else ()
    wall_seconds = time.monotonic() - started
    folder.sweep_temporaries()  # of workers that were lost
    missing = (stream.planned.keys() - stream.own.keys()).difference(folder.sidecar_files())
    return summary(
        folder,
        stream.own.keys() - {each.shard for each in failed},
        counter,
        wall_seconds,
        asked=planning.asked,
        failed_shards=failed,
        shards_elsewhere=len(missing),
    )


def _noted(folder: CacheFolder, stream: ShardTasks, backend: Backend) -> contextlib.AbstractContextManager[None]:
    """Leave a note that this process is at work. Workers on other machines may outlive it, so that it says nothing of them."""
    if not isinstance(backend, LocalBackend):
        return contextlib.nullcontext()
    return start_noted(folder.path, lambda: not stream.planned.keys() - set(folder.sidecar_files()))


def _replaced(root: Path, folder: CacheFolder) -> list[str]:
    """Why an extraction begins anew beside what an earlier version made of the same encoders and settings."""
    earlier = earlier_spec(folder.spec)
    if earlier is None or folder.sidecar_files():
        return []
    there = root / folder.corpus / cache_key(earlier)[:12]
    if not (there / "spec.json").is_file():
        return []
    reasons = [why for name, why in STATEMENTS.items() if any(name in folder.spec.get(each, {}) for each in ("speech", "text"))]
    return [
        f"{there} has these encoders and settings, and is not gone on with: {'; '.join(reasons)}. The features are made anew in "
        f"{folder.path}; nothing is mixed, and the old folder can be deleted"
    ]


def most_workers(resources: Resources) -> int:
    """Processes for plenty of shards: as asked for, else one per core or per GPU."""
    if resources.workers is not None:
        return resources.workers
    device = resolve_device(resources.device)
    if device.type == "cuda":
        return 1 if device.index is not None else torch.cuda.device_count()
    return 1 if device.type == "mps" else cores()


def local_backend(resources: Resources, shards: int | None) -> LocalBackend:
    """Processes of this machine, never more than there are shards; on a CPU with one thread each.

    That gives the most, and the same bytes for any number of processes.

    Args:
        resources: how many are wanted.
        shards: to make; None when that is not known yet, and many.
    """
    device = resolve_device(resources.device)
    most = most_workers(resources)
    workers = most if shards is None else max(1, min(most, shards))
    threads = 1 if device.type == "cpu" else None
    in_hand = TASKS_IN_HAND if device.type == "cpu" else SHARDS_IN_HAND
    return LocalBackend(workers=workers, device=str(device), threads=threads, gpus=torch.cuda.device_count(), in_hand=in_hand)


def run_tasks(
    work: ExtractWork, tasks: Iterable[Task], backend: Backend, counter: EventCounter, stream: ShardTasks
) -> tuple[FailedShard, ...]:
    """Have every shard made; what fails is recorded in the cache's folder at once, and returned."""
    folder = work.folder
    failed: dict[str, FailedShard] = {}

    def tell(event: object) -> None:
        if isinstance(event, TaskFailed):
            failed[event.name] = FailedShard(
                shard=event.name, reason=event.reason, tries=event.tries, host=platform.node(), time=time.time()
            )
            with contextlib.suppress(CacheError):  # the disk may be full; the result says it anyway
                folder.record_failure(failed[event.name])
        counter(event)

    backend.run(work, tasks, tell=tell)
    for name in [name for name in failed if work.is_done(stream.task(stream.own[name]))]:
        del failed[name]  # another command has made it meanwhile
    for name in folder.wait_for(stream.made.keys() - failed.keys()):
        reason = f"a worker has committed it, but it is not in {folder.path} here: every machine must see the same folder"
        tell(TaskFailed(name=name, reason=reason, tries=1))
    for name in stream.made.keys() - failed.keys():
        folder.forget_failure(name)
    return tuple(failed[name] for name in sorted(failed))


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
