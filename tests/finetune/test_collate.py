import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from mer.corpus import Utterance
from mer.finetune.batch import Batch
from mer.finetune.collate import BatchReader
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.trainable import TrainableEncoders

RATE = 8_000
TARGETS = np.array([2, 0, 1, 0], dtype=np.int64)


class Preparation(TrainableEncoders):
    """An encoder's preparation whose numbers can be told: waves less their mean, a word's length as its id."""

    @property
    def sample_rate(self) -> int:
        return RATE

    @property
    def frame_length(self) -> int:
        return 80

    @property
    def pad_token(self) -> int:
        return 99

    def __init__(self) -> None:
        super().__init__(None, None, {})
        self.threads: set[str] = set()

    def prepare(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        self.threads.add(threading.current_thread().name)
        normal: NDArray[np.float32] = wave - wave.mean()
        return normal

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [[1, *(len(word) for word in text.split()), 2] for text in texts]


@pytest.fixture
def corpus(tmp_path: Path) -> list[Utterance]:
    return [
        utterance(tmp_path, 0, 800, "one [LAUGHTER] three"),
        utterance(tmp_path, 1, 2_400, "four"),
        utterance(tmp_path, 2, 1_600, "five six seven"),
        utterance(tmp_path, 3, 1_601, "eight"),
    ]


def utterance(folder: Path, row: int, samples: int, text: str | None) -> Utterance:
    path = folder / f"{row}.wav"
    noise = np.random.default_rng(row).uniform(-0.5, 0.7, samples).astype(np.float32)
    soundfile.write(path, noise, RATE, subtype="FLOAT")
    return Utterance(id=f"u{row}", wav=path, text=text, label="neu", speaker="a", session="1")


def reader(corpus: list[Utterance], preparation: Preparation | None = None, **values: Any) -> BatchReader:
    settings: dict[str, Any] = {"max_seconds": 0.2} | values
    config = FinetuneConfig(**settings)
    return BatchReader(corpus, TARGETS, range(len(corpus)), preparation or Preparation(), config)


def same(one: Batch, two: Batch) -> bool:
    pairs = ((one.waves, two.waves), (one.tokens, two.tokens))
    return one.rows == two.rows and all(
        torch.equal(mine, other) for mine, other in pairs if mine is not None and other is not None
    )


def test_a_batch_holds_prepared_audio_and_wordpieces_with_padding_after_them(corpus: list[Utterance]) -> None:
    batch = reader(corpus).read([2, 0])
    assert (batch.rows, batch.samples, batch.wordpieces) == ((2, 0), (1_600, 800), (5, 4))
    assert batch.labels.tolist() == [1, 2]
    assert batch.waves is not None
    assert batch.tokens is not None
    expected = np.zeros((2, 1_600), dtype=np.float32)
    for place, row in enumerate((2, 0)):
        samples, _ = soundfile.read(corpus[row].wav, dtype="float32")
        expected[place, : len(samples)] = samples - samples.mean()
    np.testing.assert_array_equal(batch.waves.numpy(), expected)
    assert batch.tokens.tolist() == [[1, 4, 3, 5, 2], [1, 3, 5, 2, 99]]


def test_long_utterances_are_cut_before_they_are_prepared_and_counted(corpus: list[Utterance]) -> None:
    found = reader(corpus)
    assert found.cut == {1, 3}
    assert found.lengths == [0.1, 0.2, 0.2, 0.2]
    batch = found.read([1])
    samples, _ = soundfile.read(corpus[1].wav, dtype="float32")
    assert batch.waves is not None
    np.testing.assert_array_equal(batch.waves[0].numpy(), samples[:1_600] - samples[:1_600].mean())


def test_another_rate_is_cut_at_the_same_time(corpus: list[Utterance], tmp_path: Path) -> None:
    path = tmp_path / "fast.wav"
    soundfile.write(path, np.zeros(4 * RATE, dtype=np.float32), 2 * RATE)
    fast = Utterance(id="fast", wav=path, text="", label="neu", speaker="a", session="1")
    found = BatchReader([fast], TARGETS[:1], [0], Preparation(), FinetuneConfig(max_seconds=0.5))
    assert found.cut == {0}
    assert (found.seconds, found.read([0]).samples) == ({0: 0.5}, (4_000,))


@pytest.mark.parametrize("tags", ["drop", "keep"])
def test_tags_are_kept_only_when_asked_for(tags: str, corpus: list[Utterance]) -> None:
    assert reader(corpus, text_tags=tags).read([0]).wordpieces == ((4,) if tags == "drop" else (5,))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_reading_ahead_gives_the_same_batches_in_the_same_order(workers: int, corpus: list[Utterance]) -> None:
    preparation = Preparation()
    found = reader(corpus, preparation, workers=workers)
    wanted = [[number % 4, (number + 1) % 4] for number in range(20)]
    batches = list(found.ahead(wanted))
    here = threading.current_thread().name
    assert (preparation.threads == {here}) == (workers == 0)
    assert len(batches) == 20
    assert all(same(batch, found.read(rows)) for batch, rows in zip(batches, wanted, strict=True))


def test_only_a_few_batches_are_read_ahead(corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    found = reader(corpus, workers=2)
    monkeypatch.setattr(found, "read", lambda rows, pin: read.append(rows))
    batches = found.ahead([[0]] * 100)
    next(batches)
    batches.close()
    assert 1 <= len(read) <= 5


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_thread_names_the_utterance(workers: int, corpus: list[Utterance]) -> None:
    found = reader(corpus, workers=workers)
    corpus[2].wav.unlink()
    batches = found.ahead([[0], [1], [2], [3]])
    assert [next(batches).rows, next(batches).rows] == [(0,), (1,)]
    with pytest.raises(FinetuneError, match=r"utterance u2: .*2\.wav: no audio file there"):
        next(batches)


def test_one_modality_does_not_touch_the_other(corpus: list[Utterance]) -> None:
    speech = reader([Utterance(id="u", wav=corpus[0].wav, text=None, label="neu", speaker="a", session="1")], modality="speech")
    assert speech.read([0]).tokens is None
    text = reader([Utterance(id="u", wav=Path("nowhere"), text="a b", label="neu", speaker="a", session="1")], modality="text")
    assert text.read([0]).waves is None
    assert text.seconds == {0: 1.0}  # four wordpieces
    assert text.cut == frozenset()


def test_a_missing_transcript_is_refused_before_training(corpus: list[Utterance], tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match=r"utterance u4 has no transcript; .* or use --modality speech"):
        reader([*corpus, utterance(tmp_path, 4, 800, None)])


def test_audio_of_less_than_a_frame_is_refused_before_training(corpus: list[Utterance], tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match="utterance u4: 79 samples of audio at 8000 Hz, and the speech encoder needs 80"):
        reader([*corpus, utterance(tmp_path, 4, 79, "")])


def test_audio_that_is_not_there_is_refused_before_training(corpus: list[Utterance]) -> None:
    corpus[1].wav.write_bytes(b"no audio")
    with pytest.raises(FinetuneError, match=r"utterance u1: .*1\.wav: not readable as audio"):
        reader(corpus)
