"""Shards through the encoders, on any backend: what a worker loads once, and how it makes one shard."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mer.backends import BackendError, Notice, Slot, Task, TaskDone, TaskFailed
from mer.backends.agreement import check_same, versions
from mer.backends.attempt import TryFailure, failure_of
from mer.backends.device import DeviceError, resolve_device
from mer.cache import CacheFolder, build_shard
from mer.cache.spec import checked_spec
from mer.corpus import Corpus, Utterance
from mer.corpus.audio import read_recording
from mer.extract.config import ExtractConfig, ExtractError, Resources
from mer.extract.device_path import path_to
from mer.extract.encode import OUT_OF_RANGE, EncodedShard, encode_shard, scaled
from mer.extract.encoders import Encoders
from mer.extract.identity import SOFTWARE, encoder_notes, make_spec, provenance
from mer.extract.inputs import WaveReader, audio_digest
from mer.extract.pipeline import Pipeline
from mer.extract.precision import exact_float32, threads_on_cpu
from mer.extract.progress import Begun, Committed, Encoded
from mer.extract.speech_encoder import SpeechEncoder
from mer.extract.stage_times import ShardTimes
from mer.extract.text_encoder import TextEncoder

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardToMake:
    """Content of a task: one shard."""

    utterances: tuple[Utterance, ...]
    """In the order of the plan."""
    replaces: str | None = None
    """Mark of the sidecar that is there and no longer holds; None when there was none."""


@dataclass(frozen=True, kw_only=True)
class ExtractWork:
    """What a worker needs for any shard of one cache; a task is done when its shard is committed."""

    folder: CacheFolder
    """The cache; every machine sees it at the same path."""
    config: ExtractConfig
    """What to extract."""
    resources: Resources
    """Batch sizes; the device is the slot's."""
    versions: Mapping[str, str] = field(default_factory=partial(versions, *SOFTWARE))
    """Versions of the launcher's code."""
    directory: str = field(default_factory=os.getcwd)
    """Where the launcher was started; paths may be relative to it."""
    read: WaveReader = read_recording
    """Where waveforms come from."""
    encoders: Encoders | None = field(default=None, compare=False, repr=False)
    """The launcher's own, for a worker in its process; they stay there when the work is pickled."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"encoders": None}

    @contextmanager
    def open(self, slot: Slot) -> Iterator["ShardMaker"]:
        """Load the encoders and make sure that they are those of the cache.

        Raises:
            BackendError: other versions, other models or none, no such device or cache here.
        """
        check_same(self.versions, versions(*SOFTWARE))
        spec = Path(self.directory, self.folder.path, "spec.json")
        if not spec.is_file():
            raise BackendError(f"{spec} is not on {platform.node()}: every machine must see the cache at the same path")
        with ExitStack() as stack:
            stack.enter_context(chdir(self.directory))
            with _refusals():
                device = resolve_device(slot.device)
                stack.enter_context(threads_on_cpu(device, slot.threads))
                stack.enter_context(exact_float32())
                encoders = replace(self.encoders or self._load(device), read=self.read)
            overlap = encoders.path.overlap
            maker: InTurn | Pipeline
            maker = InTurn(encoders, self.config) if overlap is None else Pipeline(overlap, encoders, self.config)
            # Entered last, so it ends first: it waits for its commit, also on Ctrl-C.
            stack.callback(maker.close)
            yield ShardMaker(self, encoders, maker)

    def is_done(self, task: Task) -> bool:
        """Whether a whole sidecar accounts for the utterances, other than one that was found wanting."""
        mark, sidecar = self.folder.mark(task.name), self.folder.committed(task.name)
        if mark is None or sidecar is None or mark == task.content.replaces:
            return False
        return set(sidecar.ids) == {utterance.id for utterance in task.content.utterances}

    def _load(self, device: torch.device) -> Encoders:
        encoders = load_encoders(self.config, replace(self.resources, device=str(device)))
        theirs = self.folder.spec
        ours = checked_spec(make_spec(Corpus(**theirs["corpus"], utterances=()), self.config, encoders))
        differing = [f"{part} {key}" for part in ("speech", "text") for key in _differing(ours.get(part), theirs.get(part))]
        if ours != theirs:
            raise BackendError(
                f"the models here are not those that {self.folder.path} was begun with (different: "
                f"{', '.join(differing) or 'settings'}); put the same files on every machine, or give --revision"
            )
        return encoders


class InTurn:
    """Encodes a shard at once, while the last one is hashed and written: the way of a CPU, whose one thread encodes."""

    def __init__(self, encoders: Encoders, config: ExtractConfig) -> None:
        """`encoders` are on their device."""
        self._encoders, self._config = encoders, config
        self._committer = ThreadPoolExecutor(1, "commit")
        self._writing: Future[None] | None = None

    def begin(
        self,
        utterances: Sequence[Utterance],
        resources: Resources,
        report: Callable[[int, float], None],
        commit: Callable[[EncodedShard], None],
        fail: Callable[[TryFailure], None],
    ) -> None:
        """Encode a shard, which is being written on return; see `Pipeline.begin`. `fail` is not called: errors are raised."""
        encoded = encode_shard(utterances, self._encoders, self._config, resources, report)
        self.finish()
        self._writing = self._committer.submit(commit, encoded)

    def finish(self) -> None:
        """Wait for the last shard to be on disk."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Wait for a commit that is under way."""
        self._committer.shutdown()


class ShardMaker:
    """A worker with its encoders."""

    def __init__(self, work: ExtractWork, encoders: Encoders, maker: InTurn | Pipeline) -> None:
        """Use `ExtractWork.open`.

        Args:
            work: what to do it for.
            encoders: on their device.
            maker: of the shards, by these encoders.
        """
        self._work, self._encoders, self._maker = work, encoders, maker
        self._refused_bytes = 0
        self._warned = False
        self._since: float | None = None
        # Once: packages' metadata is parsed for it, which would take the interpreter from the thread that launches kernels.
        self._provenance = provenance(encoders.device) | encoder_notes(encoders, work.folder.path)

    def do(self, task: Task, *, share: float, tell: Callable[[object], None]) -> None:
        """Have a shard made; what goes wrong after the return is told."""
        if self._work.is_done(task):  # another command was faster, or an earlier try was cut off before it could tell
            tell(TaskDone(name=task.name))
            return
        tell(Begun(task.name))
        started = time.time()
        self._since = self._since or time.perf_counter()
        self._check_disk()

        def fail(failure: TryFailure) -> None:
            tell(TaskFailed(name=task.name, reason=failure.reason, tries=1, memory=failure.memory))

        self._maker.begin(
            task.content.utterances,
            scaled(self._work.resources, self._encoders, share),
            lambda utterances, seconds: tell(Encoded(task.name, utterances, seconds)),
            lambda encoded: self._commit(task, encoded, started, tell),
            fail,
        )

    def finish(self) -> None:
        """Wait until every shard is on disk or has failed."""
        self._maker.finish()

    def _check_disk(self) -> None:
        """After a shard that could not be written, encode no other before the disk takes as much."""
        if self._refused_bytes:
            self._work.folder.check_space(self._refused_bytes)
            self._refused_bytes = 0

    def _commit(self, task: Task, encoded: EncodedShard, started: float, tell: Callable[[object], None]) -> None:
        try:
            self._write(task, encoded, started, tell)
        except Exception as error:
            tell(TaskFailed(name=task.name, reason=failure_of(error).reason, tries=1))
        else:
            tell(TaskDone(name=task.name))

    def _write(self, task: Task, encoded: EncodedShard, started: float, tell: Callable[[object], None]) -> None:
        with encoded.times.measured("write"):
            if self._work.is_done(task):  # first come, first served: on GPUs the bytes of two makers may differ
                return
            size = self._write_file(task, encoded, started)
        tell(Committed(task.name, size, self._times(encoded)))
        self._warn(encoded, tell)

    def _write_file(self, task: Task, encoded: EncodedShard, started: float) -> int:
        folder = self._work.folder
        shard = build_shard(folder.spec, encoded.utterances, encoded.failed)
        notes = {
            "conversions": dict(encoded.conversions),
            "odd_sounds": {kind: sorted(ids) for kind, ids in encoded.odd_sounds.items()},
            "alignments": dict(encoded.alignments),
            "whole_segments": encoded.whole,
            **({} if self._work.config.texts is None else {"transcripts": self._work.config.texts.name}),
            "audio": {u.id: audio_digest(u) for u in task.content.utterances},
            "started": started,
            "finished": time.time(),
        }
        self._refused_bytes = shard.bytes
        sidecar = folder.commit(task.name, shard, self._provenance | notes)
        self._refused_bytes = 0
        return sidecar.bytes

    def _times(self, encoded: EncodedShard) -> ShardTimes:
        """What a shard took, and how much time has passed since the one before."""
        now, since = time.perf_counter(), self._since
        self._since = now
        overlaps = self._encoders.path.overlap is not None
        return ShardTimes(stages=encoded.times.seconds, device_seconds=now - since if overlaps and since is not None else None)

    def _warn(self, encoded: EncodedShard, tell: Callable[[object], None]) -> None:
        """Say once, while most of a corpus is still to come, that activations do not fit what they are stored in."""
        lost = [each for each in encoded.failed if OUT_OF_RANGE in each.reason]
        if lost and not self._warned:
            self._warned = True
            count = len(encoded.utterances) + len(encoded.failed)
            tell(Notice(text=f"{len(lost)} of the first {count} utterances fail, {lost[0].id} for one: {lost[0].reason}"))


def load_encoders(config: ExtractConfig, resources: Resources) -> Encoders:
    """Load the wanted encoders onto their device.

    Raises:
        EncoderError: an encoder that cannot be had.
        ExtractError: a precision that the device lacks.
    """
    place = resolve_device(resources.device)
    if place.type == "mps" and config.dtype != "float32":
        raise ExtractError(f"--dtype {config.dtype}: on mps encoders run in float32; leave it out, or give --device cpu")

    device, dtype, path = str(place), DTYPES[config.dtype], path_to(place)
    speech = text = None
    if config.needs_speech:
        speech = SpeechEncoder(
            config.speech_model,
            revision=config.speech_revision,
            layers=config.layers,
            dtype=dtype,
            device=device,
            long=config.long,
            path=path,
        )
    if config.needs_text:
        text = TextEncoder(
            config.text_model,
            revision=config.text_revision,
            layers=config.layers,
            dtype=dtype,
            device=device,
            long=config.long_text,
            path=path,
        )
    return Encoders(speech=speech, text=text)


def _differing(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None) -> list[str]:
    ours, theirs = ours or {}, theirs or {}
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


@contextmanager
def _refusals() -> Iterator[None]:
    """What makes every shard fail ends the work at once."""
    try:
        yield
    except (ExtractError, DeviceError) as problem:
        raise BackendError(f"{problem} (on {platform.node()})") from problem
