"""The first stage of an extraction: recordings and transcripts of a shard, read and prepared in threads, batch by batch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from mer.cache import FailedUtterance
from mer.corpus import Utterance
from mer.corpus.audio import audio_seconds
from mer.extract.batching import batches_by_budget
from mer.extract.config import ExtractConfig
from mer.extract.encoders import Encoders
from mer.extract.inputs import Prepared, prepare
from mer.extract.stage_times import StageTimes


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedBatch:
    """Utterances of a shard that go through the speech encoder together."""

    positions: tuple[int, ...]
    """Place of each in the shard."""
    items: tuple[Prepared | FailedUtterance, ...]
    """Each made ready, or the reason why it cannot be."""

    @property
    def ready(self) -> list[tuple[int, Prepared]]:
        """Position and inputs of those that can go through the encoders."""
        return [(p, item) for p, item in zip(self.positions, self.items, strict=True) if isinstance(item, Prepared)]

    @property
    def failed(self) -> dict[int, FailedUtterance]:
        """The others, by position."""
        return {p: item for p, item in zip(self.positions, self.items, strict=True) if isinstance(item, FailedUtterance)}


class Decoding:
    """Batches of one shard, in the order in which they go through the encoders."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        encoders: Encoders,
        config: ExtractConfig,
        budget: float | None,
        threads: ThreadPoolExecutor,
        times: StageTimes,
    ) -> None:
        """Look at the lengths of all recordings; nothing is decoded yet.

        Args:
            utterances: of the shard.
            encoders: whose inputs are made; no weights are used.
            config: what is extracted.
            budget: padded seconds of a batch; None: each utterance is one.
            threads: that decode.
            times: learns how long they take.
        """
        self._utterances, self._encoders, self._config = utterances, encoders, config
        self._threads, self._times = threads, times
        padded = encoders.speech.checkpoint.padded_seconds if encoders.speech is not None else float
        self._batches = batches_by_budget([padded(audio_seconds(u)) for u in utterances], budget)

    def __len__(self) -> int:
        """Batches of the shard."""
        return len(self._batches)

    def begin(self, number: int) -> list[Future[Prepared | FailedUtterance]]:
        """Have a batch decoded, each utterance by a thread that is free."""
        return [self._threads.submit(self._decode, self._utterances[p]) for p in self._batches[number]]

    def end(self, number: int, begun: Sequence[Future[Prepared | FailedUtterance]]) -> DecodedBatch:
        """Wait for a batch that was begun."""
        return DecodedBatch(positions=tuple(self._batches[number]), items=tuple(each.result() for each in begun))

    def one_ahead(self) -> Iterator[DecodedBatch]:
        """All batches; the next one is decoded while one is used."""
        following = self.begin(0) if self._batches else []
        for number in range(len(self)):
            found = self.end(number, following)
            following = self.begin(number + 1) if number + 1 < len(self) else []
            yield found

    def _decode(self, utterance: Utterance) -> Prepared | FailedUtterance:
        with self._times.measured("decode"):
            encoders = self._encoders
            return prepare(utterance, self._config, encoders.speech, encoders.text, encoders.read)
