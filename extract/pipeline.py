"""Shards through decode, launch, copy, check and commit, each in threads of its own, beside a device that computes by itself.

    decode   several threads     recordings and transcripts to inputs
    launch   one thread          inputs to the device, its kernels, the copies back: given to it, and not waited for
    collect  one thread          waits for the copies; what came is checked and put in its place
    commit   one thread          hashes and writes a shard that is whole

What waits is bounded by `Overlap`: audio that is decoded ahead, batches that the device has in hand, shards whose activations
are in memory. Batches go through every stage in one order, across shards, so that the device is given the next shard's first
batch while the last one's are on their way back. The numbers are those of `encode_shard`, which does one thing after the other.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from mer.backends.attempt import TryFailure, failure_of
from mer.cache import FailedUtterance
from mer.corpus import Utterance
from mer.extract.config import ExtractConfig, Resources
from mer.extract.decoding import Decoding
from mer.extract.device_path import Overlap
from mer.extract.encode import EncodedShard, ShardEncoding, speech_budget
from mer.extract.encoders import Encoders
from mer.extract.inputs import Prepared
from mer.extract.launch import Launched

Begun = list[Future[Prepared | FailedUtterance]]


@dataclass(kw_only=True, eq=False)
class _Shard:
    """One shard on its way."""

    encoding: ShardEncoding
    decoding: Decoding
    commit: Callable[[EncodedShard], None]
    fail: Callable[[TryFailure], None]
    failure: TryFailure | None = None
    """Why it cannot be made; its remaining batches are passed over."""
    in_memory: bool = False
    """Whether it counts among the shards whose activations are in memory."""
    over: Future[None] = field(default_factory=Future)
    """Done when it is committed or has failed."""


class Pipeline:
    """The stages of one worker. Shards are begun in one thread and end in their order."""

    def __init__(self, overlap: Overlap, encoders: Encoders, config: ExtractConfig) -> None:
        """Nothing is begun yet.

        Args:
            overlap: how much of what is in hand.
            encoders: on a device that computes by itself.
            config: what to extract.
        """
        self._encoders, self._config = encoders, config
        self._decode = ThreadPoolExecutor(overlap.decoders, "decode")
        self._launch = ThreadPoolExecutor(1, "launch")
        self._collect = ThreadPoolExecutor(1, "collect")
        self._commit = ThreadPoolExecutor(1, "commit")
        self._decoded = threading.Semaphore(overlap.decoded)
        self._on_device = threading.Semaphore(overlap.batches)
        self._in_memory = threading.Semaphore(overlap.shards)
        # Not the shards: what they hold is to go as soon as it is written.
        self._open: deque[Future[None]] = deque()
        self._closing = False

    def begin(
        self,
        utterances: Sequence[Utterance],
        resources: Resources,
        report: Callable[[int, float], None],
        commit: Callable[[EncodedShard], None],
        fail: Callable[[TryFailure], None],
    ) -> None:
        """Have a shard made; returns as soon as the last of its batches is being decoded, and the next shard may be begun.

        Args:
            utterances: of the shard, in the order of its plan.
            resources: batch sizes.
            report: called with utterances and seconds of audio when a batch is back.
            commit: called with the shard when it is encoded, in the thread that writes; must not raise.
            fail: called in its place when it cannot be encoded.
        """
        encoding = ShardEncoding(self._encoders, self._config, report)
        budget = speech_budget(self._encoders, resources)
        decoding = Decoding(utterances, self._encoders, self._config, budget, self._decode, encoding.times)
        shard = _Shard(encoding=encoding, decoding=decoding, commit=commit, fail=fail)
        while self._open and self._open[0].done():
            self._open.popleft()
        self._open.append(shard.over)
        for number in range(len(decoding)):
            self._decoded.acquire()
            self._launch.submit(self._launch_speech, shard, number, decoding.begin(number))
        self._launch.submit(self._launch_texts, shard, resources.batch_tokens)

    def finish(self) -> None:
        """Wait until every shard that was begun has been committed or has failed."""
        while self._open:
            self._open[0].result()
            self._open.popleft()

    def close(self) -> None:
        """End all threads. Shards that are decoded whole are still committed; the others are dropped without a word."""
        self._closing = True
        self._decode.shutdown(wait=False, cancel_futures=True)
        for stage in (self._decode, self._launch, self._collect, self._commit):
            stage.shutdown()

    def _launch_speech(self, shard: _Shard, number: int, begun: Begun) -> None:
        try:
            batch = shard.decoding.end(number, begun)
            self._give(shard, lambda: shard.encoding.launch(batch), lambda launched: shard.encoding.take(batch, launched))
        except Exception as error:
            _note(shard, error)
        finally:
            self._decoded.release()

    def _launch_texts(self, shard: _Shard, budget: int) -> None:
        try:
            for positions in shard.encoding.text_batches(budget):
                self._give_texts(shard, positions)
        except Exception as error:
            _note(shard, error)
        self._collect.submit(self._complete, shard)

    def _give_texts(self, shard: _Shard, positions: Sequence[int]) -> None:
        self._give(
            shard,
            lambda: shard.encoding.launch_texts(positions),
            lambda launched: shard.encoding.take_texts(positions, launched),
        )

    def _give(self, shard: _Shard, launch: Callable[[], Launched], take: Callable[[Launched], None]) -> None:
        """Give the device a batch when it has few enough in hand, and have what comes back taken."""
        if shard.failure is not None:
            return
        if not shard.in_memory:
            self._in_memory.acquire()
            shard.in_memory = True
        self._on_device.acquire()
        try:
            with shard.encoding.times.measured("launch"):
                launched = launch()
        except BaseException:
            self._on_device.release()
            raise
        self._collect.submit(self._take, shard, launched, take)

    def _take(self, shard: _Shard, launched: Launched, take: Callable[[Launched], None]) -> None:
        try:
            take(launched)
        except Exception as error:
            _note(shard, error)
        finally:
            self._on_device.release()

    def _complete(self, shard: _Shard) -> None:
        """All batches of a shard are back, or will never be."""
        encoded: EncodedShard | None = None
        if shard.failure is None:
            try:
                encoded = shard.encoding.result()
            except Exception as error:
                _note(shard, error)
        self._commit.submit(self._end, shard, encoded)

    def _end(self, shard: _Shard, encoded: EncodedShard | None) -> None:
        try:
            if encoded is not None:
                shard.commit(encoded)
            elif shard.failure is not None and not self._closing:
                shard.fail(shard.failure)
        finally:
            if shard.in_memory:
                self._in_memory.release()
            shard.over.set_result(None)


def _note(shard: _Shard, error: Exception) -> None:
    """Keep what is said of the first error, and not the error: its traceback would hold a batch on the device."""
    shard.failure = shard.failure or failure_of(error)
