"""A corpus of seconds, narrow encoders, and every kind of result trained on it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file
from textgrid import IntervalTier, TextGrid

from mer.cache import open_cache
from mer.corpus import Corpus, Utterance, open_corpus
from mer.extract import ExtractConfig, Resources, extract
from mer.finetune.config import FinetuneConfig
from mer.finetune.run import Storage
from mer.finetune.run import finetune as finetune_row
from mer.heads import HeadConfig, train_head, train_multi_level
from mer.predict import Predictor, load
from mer.results.names import run_stem

TEXTS = ("i am so happy that you came [LAUGHTER]", "leave me alone", "we lost it all", "the bus leaves at noon")
LABELS = ("angry", "happy", "sad")
SESSIONS = ("1", "2", "3")
EACH = 6
HEADS: dict[str, dict[str, Any]] = {
    "late": {"granularities": ("F", "S"), "fusion": "late", "seeds": (0, 1)},
    "late-of-all": {"granularities": ("F", "P", "S", "W"), "fusion": "late", "layer_weights": "softmax", "normalize": "global"},
    "by-speaker": {"granularities": ("F", "S"), "fusion": "late", "normalize": "speaker"},
    "coattention-by-speaker": {"granularities": ("F",), "fusion": "coattention", "attention_layers": 1, "normalize": "speaker"},
    "linear": {"granularities": ("P",), "fusion": "linear", "modality": "speech"},
    "text": {"fusion": "linear", "modality": "text"},
    "transformer": {"granularities": ("W",), "fusion": "transformer", "modality": "speech", "normalize": "none"},
    "coattention": {"granularities": ("F", "W"), "fusion": "coattention", "attention_layers": 2},
    "concatenation": {"granularities": ("S",), "fusion": "concatenation", "layers": (2,)},
}
TRAINING: dict[str, Any] = {"hidden": 8, "max_epochs": 1, "learning_rate": 0.01, "batch": 8, "seeds": (0,), "device": "cpu"}


class Trained(NamedTuple):
    """The folders that the tests share."""

    corpus: Path
    speech: Path
    text: Path
    runs: dict[str, Path]


def narrow(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_corpus(folder: Path) -> Path:
    """Noise of half a second at several rates and channel counts, each file with a TextGrid but the first."""
    folder.mkdir()
    lines = []
    for row in range(EACH * len(SESSIONS)):
        random = np.random.default_rng(row)
        rate, channels = (16_000, 1) if row % 5 else (22_050, 2)
        seconds = 0.3 + 0.05 * (row % 7)
        soundfile.write(folder / f"u{row}.wav", random.normal(0.0, 0.1, (int(seconds * rate), channels)), rate)
        written = {
            "id": f"u{row}",
            "wav": f"u{row}.wav",
            "text": TEXTS[row % 4],
            "label": LABELS[row % 3],
            "speaker": f"s{row // EACH}-{row % 2}",
            **{name: float(random.uniform(11, 15)) for name in ("valence", "arousal", "dominance")},
        }
        if row:
            write_grid(folder / f"u{row}.TextGrid", seconds)
            written["textgrid"] = f"u{row}.TextGrid"
        lines.append(json.dumps(written | {"session": SESSIONS[row // EACH]}))
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "corpus.jsonl"


def write_grid(path: Path, seconds: float) -> None:
    grid = TextGrid(minTime=0.0, maxTime=seconds)
    for name, marks in (("words", ("one", "two")), ("phones", ("W", "AH", "N", "T", "UW"))):
        tier = IntervalTier(name, 0.0, seconds)
        for number, mark in enumerate(marks):
            tier.add(round(number * seconds / len(marks), 3), round((number + 1) * seconds / len(marks), 3), mark)
        grid.append(tier)
    grid.write(str(path))


@pytest.fixture(scope="session")
def trained(
    speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """Every head and a fine-tuned model, trained for an epoch on the same utterances."""
    folder = tmp_path_factory.mktemp("predict")
    manifest = write_corpus(folder / "corpus")
    speech = narrow(speech_encoder_folder("wav2vec2"), folder / "narrow-wav2vec2")
    text = narrow(text_encoder_folder, folder / "narrow-bert")
    corpus = open_corpus(manifest)
    encoders: dict[str, Any] = {"speech_model": str(speech), "text_model": str(text)}
    extraction = extract(corpus, ExtractConfig(**encoders), folder / "features", resources=Resources(device="cpu", workers=1))
    cache = open_cache(extraction.folder)
    configs = {name: HeadConfig(classes="as-is", **{**TRAINING, **settings}) for name, settings in HEADS.items()}
    runs = {name: train_head(cache, config, folder / "runs").directory for name, config in configs.items()}
    rated = HeadConfig(**{**TRAINING, "seeds": (0, 1), "learning_rate": 0.1}, granularities=("F", "S"), predict="vad")
    runs["ratings"] = train_head(cache, rated, folder / "runs").directory
    late = HeadConfig(classes="as-is", **TRAINING, granularities=("F", "P"), fusion="late", layers=(2,))
    runs["multi-level"] = train_multi_level(cache, configs["coattention"], late, folder / "runs").directory
    runs["finetuned"] = finetune(corpus, folder / "runs", **encoders)
    return Trained(manifest, speech, text, runs)


def finetune(corpus: Corpus, runs: Path, **encoders: Any) -> Path:
    """One epoch of the smallest fine-tuning, of which two folds are tested."""
    config = FinetuneConfig(
        **encoders, classes="as-is", epochs=1, batch=8, batch_seconds=2.0, seeds=(0,), folds=("1", "3"), device="cpu", workers=0,
        max_seconds=0.55,
    )  # fmt: skip
    return finetune_row(corpus, config, Storage(runs=runs)).directory


@pytest.fixture
def loaded(trained: Trained) -> Callable[..., Predictor]:
    """Loads one of the results by its name."""

    def make(name: str, **settings: Any) -> Predictor:
        encoders = {} if name == "finetuned" else {"speech_model": str(trained.speech), "text_model": str(trained.text)}
        return load(trained.runs[name], device="cpu", **{**encoders, **settings})

    return make


@pytest.fixture
def written_logits(trained: Trained) -> Callable[[str], dict[str, tuple[list[Utterance], np.ndarray]]]:
    """Run name to the test utterances and the logits that training wrote for them, for a result by its name."""

    def read(name: str) -> dict[str, tuple[list[Utterance], np.ndarray]]:
        utterances = {each.id: each for each in open_corpus(trained.corpus)}
        logits = load_file(trained.runs[name] / "logits.safetensors")
        rows: dict[str, list[str]] = {}
        with (trained.runs[name] / "predictions.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault(run_stem(row["fold"], int(row["seed"])), []).append(row["id"])
        return {run: ([utterances[each] for each in ids], logits[run]) for run, ids in rows.items()}

    return read
