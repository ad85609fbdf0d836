"""Utterances as padded batches: audio read, cut and prepared in threads ahead of the model."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from mer.corpus import Utterance, remove_tags
from mer.extract import AudioError, read_wave, seconds_of
from mer.finetune.batch import Batch
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.trainable import TrainableEncoders

WORDPIECE_SECONDS = 0.25
"""What a wordpiece counts in a batch without audio, so that `batch_seconds` bounds texts, too."""


class BatchReader:
    """Batches of a corpus' utterances, by their row numbers.

    Headers are read and texts are tokenised at once, so that what is wrong with a corpus is said before anything is
    trained; audio is decoded when a batch needs it.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        targets: Int64[np.ndarray, " utterances"],
        rows: Sequence[int],
        encoders: TrainableEncoders,
        config: FinetuneConfig,
    ) -> None:
        """Look at every utterance of a run.

        Args:
            utterances: of the corpus.
            targets: class number of each.
            rows: those that will be asked for.
            encoders: how audio and texts are prepared.
            config: modality, tags, and where audio is cut.

        Raises:
            FinetuneError: audio that is not readable or shorter than a frame, or no transcript where text is used.
        """
        self._utterances, self._targets, self._encoders, self._config = utterances, targets, encoders, config
        self._speech, self._text = "speech" in config.modalities, "text" in config.modalities
        self._tokens: dict[int, list[int]] = {}
        if self._text:
            texts = [self._transcript(row) for row in rows]
            self._tokens = dict(zip(rows, encoders.tokenize(texts), strict=True)) if texts else {}
        full = {row: self._header_seconds(row) if self._speech else self._text_seconds(row) for row in rows}
        self.cut = frozenset(row for row, seconds in full.items() if self._speech and seconds > config.max_seconds)
        """Rows that are longer than `max_seconds` and end there."""
        self.seconds = {row: min(length, config.max_seconds) if self._speech else length for row, length in full.items()}
        """Length of each row as it goes into a batch."""
        self.padded = {row: encoders.padded_seconds(length) for row, length in self.seconds.items()}
        """Seconds that each row takes in a batch: its length, or the whole windows of an encoder that has them."""
        self.lengths = [self.padded.get(row, 0.0) for row in range(len(utterances))]
        """The same by row number; 0 for rows that were not asked for."""

    def wordpieces(self, rows: Sequence[int]) -> tuple[int, ...]:
        """Own wordpieces of each row; 0 where only speech is used."""
        return tuple(len(self._tokens.get(row, ())) for row in rows)

    def read(self, rows: Sequence[int], *, pin: bool = False) -> Batch:
        """The padded batch of some rows, on the CPU.

        Args:
            rows: in the order of the batch.
            pin: in memory that a GPU copies from while it computes.

        Raises:
            FinetuneError: audio that cannot be decoded.
        """
        waves = tokens = None
        samples: tuple[int, ...] = ()
        wordpieces: tuple[int, ...] = ()
        if self._speech:
            prepared = [torch.from_numpy(self._wave(row)) for row in rows]
            samples = tuple(len(wave) for wave in prepared)
            waves = _padded(prepared, 0.0)
        if self._text:
            texts = [torch.tensor(self._tokens[row], dtype=torch.int64) for row in rows]
            wordpieces = tuple(len(text) for text in texts)
            tokens = _padded(texts, self._encoders.pad_token)
        if pin:
            waves = None if waves is None else waves.pin_memory()
            tokens = None if tokens is None else tokens.pin_memory()
        return Batch(
            rows=tuple(rows),
            labels=torch.from_numpy(self._targets[list(rows)]),
            waves=waves,
            samples=samples,
            tokens=tokens,
            wordpieces=wordpieces,
        )

    def ahead(self, batches: Sequence[Sequence[int]], *, pin: bool = False) -> Generator[Batch, None, None]:
        """Batches in their order; `config.workers` threads read the next ones while one is used, two for each thread."""
        threads = self._config.workers
        if threads == 0:
            yield from (self.read(rows, pin=pin) for rows in batches)
            return
        waiting: deque[Future[Batch]] = deque()
        following = iter(batches)
        pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="read")
        try:
            waiting.extend(pool.submit(self.read, rows, pin=pin) for rows in islice(following, 2 * threads))
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(pool.submit(self.read, rows, pin=pin) for rows in islice(following, 1))
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _transcript(self, row: int) -> str:
        utterance = self._utterances[row]
        if utterance.text is None:
            raise FinetuneError(
                f"utterance {utterance.id} has no transcript; add it to the corpus, leave the utterance out, "
                "or use --modality speech"
            )
        return remove_tags(utterance.text) if self._config.text_tags == "drop" else utterance.text

    def _text_seconds(self, row: int) -> float:
        return WORDPIECE_SECONDS * len(self._tokens[row])

    def _header_seconds(self, row: int) -> float:
        utterance = self._utterances[row]
        try:
            seconds = seconds_of(utterance)
        except AudioError as problem:
            raise FinetuneError(f"utterance {utterance.id}: {problem}") from problem
        self._check_length(utterance.id, round(min(seconds, self._config.max_seconds) * self._encoders.sample_rate))
        return seconds

    def _wave(self, row: int) -> NDArray[np.float32]:
        utterance = self._utterances[row]
        rate = self._encoders.sample_rate
        try:
            samples = read_wave(utterance.wav, rate, utterance.part).samples
        except AudioError as problem:
            raise FinetuneError(f"utterance {utterance.id}: {problem}") from problem
        # Cut first: mean and variance are those of what the encoder hears.
        wave = samples[: round(self._config.max_seconds * rate)]
        self._check_length(utterance.id, len(wave))
        return self._encoders.prepare(wave)

    def _check_length(self, name: str, samples: int) -> None:
        needed = self._encoders.frame_length
        if samples < needed:
            raise FinetuneError(
                f"utterance {name}: {samples} samples of audio at {self._encoders.sample_rate} Hz, and the speech encoder needs "
                f"{needed} for one frame; leave the utterance out of the corpus, or use a longer --max-seconds"
            )


def _padded(sequences: Sequence[Tensor], value: float) -> Tensor:
    """Rows of one length: (sequences, longest)."""
    return torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True, padding_value=value)
