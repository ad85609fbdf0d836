"""Shards through the encoders in this process or in several, each with one CPU thread."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from mer.cache import CacheFolder, build_shard
from mer.corpus import Utterance
from mer.backends.interrupt import ctrl_c_waits, end_with_parent, never_heard_by_children
from mer.extract.config import ExtractConfig, ExtractError, Resources
from mer.extract.encode import EncodedShard, Encoders, encode_shard
from mer.extract.identity import provenance
from mer.extract.inputs import audio_digest
from mer.extract.precision import exact_float32
from mer.extract.pretrained import resolve_device
from mer.extract.speech_encoder import SpeechEncoder
from mer.extract.text_encoder import TextEncoder

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """One shard to make: the piece of work that is done when its sidecar is there, and may be done twice."""

    name: str
    """Shard name."""
    utterances: tuple[Utterance, ...]
    """In the order of the plan."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Some utterances of a shard are through the encoders."""

    utterances: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Committed:
    """A shard is on disk, whole."""

    name: str
    bytes: int


Event = Encoded | Committed


def load_encoders(config: ExtractConfig, resources: Resources) -> Encoders:
    """Load the wanted encoders onto their device."""
    device = str(resolve_device(resources.device))
    dtype = DTYPES[config.dtype]
    speech = text = None
    if config.needs_speech:
        speech = SpeechEncoder(
            config.speech_model,
            revision=config.speech_revision,
            layers=config.layers,
            dtype=dtype,
            device=device,
        )
    if config.needs_text:
        text = TextEncoder(config.text_model, revision=config.text_revision, layers=config.layers, dtype=dtype, device=device)
    return Encoders(speech=speech, text=text)


def run_here(
    units: Iterable[Unit],
    encoders: Encoders,
    folder: CacheFolder,
    config: ExtractConfig,
    resources: Resources,
    on_event: Callable[[Event], None],
) -> None:
    """Make shards one after the other; the last one is hashed and written while the next is encoded."""

    def commit(unit: Unit, encoded: EncodedShard, started: float) -> None:
        shard = build_shard(folder.spec, encoded.utterances, encoded.failed)
        notes = {
            "conversions": dict(encoded.conversions),
            "alignments": dict(encoded.alignments),
            "audio": {u.id: audio_digest(u.wav) for u in unit.utterances},
            "started": started,
            "finished": time.time(),
        }
        sidecar = folder.commit(unit.name, shard, provenance(encoders.device) | notes)
        on_event(Committed(unit.name, sidecar.bytes))

    with exact_float32(), ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit") as committer:
        writing: Future[None] | None = None
        for unit in units:
            started = time.time()
            encoded = encode_shard(unit.utterances, encoders, config, resources, lambda n, s: on_event(Encoded(n, s)))
            if writing is not None:
                writing.result()
            writing = committer.submit(commit, unit, encoded, started)
        if writing is not None:
            writing.result()


def run_in_processes(
    units: Sequence[Unit],
    folder: Path,
    config: ExtractConfig,
    resources: Resources,
    workers: int,
    on_event: Callable[[Event], None],
) -> None:
    """Share shards out to processes that load the encoders themselves; the biggest shards first.

    Raises:
        ExtractError: when a worker fails or is killed; shards that are committed stay.
    """
    context = multiprocessing.get_context("spawn")
    tasks, events = context.Queue(), context.Queue()
    for unit in sorted(units, key=lambda u: (-len(u.utterances), u.name)):
        tasks.put(unit)
    for _ in range(workers):
        tasks.put(None)
    processes: list[BaseProcess] = []
    try:
        with _single_threaded_children(), ctrl_c_waits(), never_heard_by_children():
            for number in range(workers):
                arguments = (tasks, events, folder, config, resources)
                process = context.Process(target=_worker, args=arguments, name=f"mer-extract-{number}", daemon=True)
                process.start()
                processes.append(process)
        _follow(processes, events, on_event)
    finally:
        for started in processes:
            started.terminate()
        for started in processes:
            started.join()
        for queue in (tasks, events):
            queue.cancel_join_thread()
            queue.close()


def _follow(processes: Sequence[BaseProcess], events: Any, on_event: Callable[[Event], None]) -> None:
    """Pass events on until every worker has said that it is done."""
    running = len(processes)
    while running:
        try:
            event = events.get(timeout=POLL_SECONDS)
        except Empty:
            dead = [p for p in processes if p.exitcode not in (None, 0)]
            if dead:
                raise ExtractError(
                    f"worker {dead[0].name} ended with exit code {dead[0].exitcode} (-9 is often the system short of "
                    f"memory: try fewer --workers). What is committed stays; the same command goes on from there"
                ) from None
            continue
        if event is None:
            running -= 1
        elif isinstance(event, str):
            raise ExtractError(f"a worker failed; committed shards stay. Its error:\n{event}")
        else:
            on_event(event)


def _worker(tasks: Any, events: Any, folder: Path, config: ExtractConfig, resources: Resources) -> None:
    """Body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    # Leave in order: killed outright, a worker leaves a semaphore of some library behind, and Python warns about it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    end_with_parent()
    torch.set_num_threads(1)
    try:
        encoders = load_encoders(config, resources)
        run_here(iter(tasks.get, None), encoders, CacheFolder.find(folder), config, resources, events.put)
        events.put(None)
    except Exception:
        events.put(traceback.format_exc())


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Environment for spawned workers: one thread each, and huge pages for the convolutions' large buffers.

    Two processes of one thread do 1.96 times the work of one, two threads 1.77 times and far less beside other load.
    """
    wanted = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "THP_MEM_ALLOC_ENABLE": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
