"""Narrow encoders for training, and batches for them."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from accelerate.state import AcceleratorState, GradientState

from mer.corpus import Corpus, Utterance
from mer.finetune.batch import Batch
from mer.finetune.config import FinetuneConfig
from mer.finetune.trainable import TrainableEncoders

DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout")
TEXT_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")

NarrowConfig = Callable[..., FinetuneConfig]
MakeBatch = Callable[..., Batch]

TEXTS = ("i am so happy that you came", "leave me alone", "we lost it all", "the bus leaves at noon")
LABELS = ("ang", "hap", "sad", "neu")
QUICK: dict[str, Any] = {"epochs": 2, "batch": 6, "device": "cpu", "seeds": (0,), "folds": ("1", "2"), "workers": 0}


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps device and precision of the first accelerator of a process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="session")
def narrow_config(
    speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> NarrowConfig:
    """A config whose encoders have two layers; `kind` is the speech encoder's, `calm` takes their dropout away."""
    made: dict[tuple[str, bool], Path] = {}

    def folder(source: Path, calm: bool, dropouts: Sequence[str]) -> str:
        key = (str(source), calm)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("narrow") / source.name
            shutil.copytree(source, made[key])
            edit_json(made[key] / "config.json", num_hidden_layers=2, **(dict.fromkeys(dropouts, 0.0) if calm else {}))
        return str(made[key])

    def make(kind: str = "wav2vec2", *, calm: bool = False, **settings: Any) -> FinetuneConfig:
        config = FinetuneConfig(
            speech_model=folder(speech_encoder_folder(kind), calm, DROPOUTS),
            text_model=folder(text_encoder_folder, calm, TEXT_DROPOUTS),
            dropout=0.0 if calm else 0.1,
        )
        return replace(config, **settings)

    return make


@pytest.fixture(scope="session")
def make_batch() -> MakeBatch:
    """A padded batch of noise and of texts; `only` takes some of its utterances as a batch of their own."""
    texts = ("i am so happy that you came", "leave me alone", "we lost it all and nothing will bring it back", "noon")

    def make(
        encoders: TrainableEncoders,
        samples: Sequence[int] = (8_000, 3_333, 5_000, 400),
        labels: Sequence[int] = (0, 0, 1, 0),
        only: Sequence[int] | None = None,
    ) -> Batch:
        chosen = range(len(samples)) if only is None else only
        settings: dict[str, Any] = {}
        if encoders.speech is not None:
            noise = [np.random.default_rng(row).normal(0.1, 0.3, samples[row]).astype(np.float32) for row in chosen]
            waves = torch.nn.utils.rnn.pad_sequence(
                [torch.from_numpy(encoders.prepare(wave)) for wave in noise], batch_first=True
            )
            settings |= {"waves": waves, "samples": tuple(samples[row] for row in chosen)}
        if encoders.text is not None:
            ids = [torch.tensor(row) for row in encoders.tokenize([texts[row % 4] for row in chosen])]
            tokens = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=encoders.pad_token)
            settings |= {"tokens": tokens, "wordpieces": tuple(len(row) for row in ids)}
        return Batch(rows=tuple(chosen), labels=torch.tensor([labels[row] for row in chosen]), **settings)

    return make


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Three sessions of eight utterances of noise, 0.1 to 0.3 s."""
    folder = tmp_path_factory.mktemp("noise")
    found = []
    for session in "123":
        for number in range(8):
            random = np.random.default_rng([int(session), number])
            wav = folder / f"s{session}-{number}.wav"
            soundfile.write(wav, random.normal(0.0, 0.1, 1_600 + 400 * number).astype(np.float32), 16_000)
            found.append(
                Utterance(
                    id=wav.stem,
                    wav=wav,
                    text=TEXTS[number % 4],
                    label=LABELS[number % 4],
                    speaker=session + "FM"[number % 2],
                    session=session,
                    style=("improvised", "scripted")[number // 4],
                )
            )
    return Corpus(name="noise", kind="iemocap", synthetic=True, utterances=tuple(found))


@pytest.fixture(scope="session")
def text_row(narrow_config: NarrowConfig) -> FinetuneConfig:
    return narrow_config(modality="text", **QUICK)


def edit_json(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
