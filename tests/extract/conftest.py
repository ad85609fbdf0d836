"""A small manifest corpus with TextGrids, and the configuration that extracts it with small encoders."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import textgrid
import torch

from mer.extract import ExtractConfig, SpeechEncoder
from mer.tests.extract.small_families import LAYERS, write_speech
from mer.tests.extract.small_text_families import write_text

WORDS = {"happy": ("HH", "AE1", "P", "IY0"), "alone": ("AH0", "L", "OW1", "N"), "noon": ("N", "UW1", "N")}

MakeManifest = Callable[..., Path]
Make = Callable[..., SpeechEncoder]


@pytest.fixture
def make_manifest(tmp_path: Path) -> MakeManifest:
    """Write `count` utterances over the sessions 1 to 3, each of three words with exact times."""

    def make(count: int = 12, folder: str = "corpus", seconds: tuple[float, float] = (0.6, 1.6)) -> Path:
        root = tmp_path / folder
        root.mkdir()
        random = np.random.default_rng(7)
        rows = []
        for number in range(count):
            name, length = f"utt{number:03d}", float(random.uniform(*seconds))
            samples = 0.2 * random.normal(size=int(16_000 * length)).astype(np.float32)
            soundfile.write(root / f"{name}.wav", samples, 16_000, subtype="PCM_16")
            write_textgrid(root / f"{name}.TextGrid", length)
            rows.append(
                {
                    "id": name,
                    "wav": f"{name}.wav",
                    "text": "Happy alone [LAUGHTER] noon!",
                    "label": ["joy", "grief"][number % 2],
                    "speaker": f"s{number % 6}",
                    "session": str(1 + number % 3),
                    "textgrid": f"{name}.TextGrid",
                }
            )
        manifest = root / "small.jsonl"
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return manifest

    return make


def write_textgrid(path: Path, seconds: float) -> None:
    grid = textgrid.TextGrid(maxTime=seconds)
    words, phones = textgrid.IntervalTier("words", 0, seconds), textgrid.IntervalTier("phones", 0, seconds)
    step = int(100 * (seconds - 0.1) / 3) / 100
    for place, (word, sounds) in enumerate(WORDS.items()):
        start = 0.05 + place * step
        words.add(round(start, 2), round(start + step, 2), word)
        for part, sound in enumerate(sounds):
            share = step / len(sounds)
            phones.add(round(start + part * share, 3), round(start + (part + 1) * share, 3), sound)
    grid.extend([words, phones])
    grid.write(str(path))


@pytest.fixture(scope="session")
def config(speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path) -> ExtractConfig:
    return ExtractConfig(speech_model=str(speech_encoder_folder("wav2vec2")), text_model=str(text_encoder_folder))


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a small encoder of one kind of `SPEECH`."""

    @cache
    def folder(kind: str) -> Path:
        place = tmp_path_factory.mktemp("families") / kind
        write_speech(kind, place)
        return place

    return folder


@pytest.fixture(scope="session")
def encoder_of(family_folder: Callable[[str], Path]) -> Make:
    """All layers of a kind, loaded once: nobody changes it."""

    @cache
    def load(kind: str, dtype: torch.dtype = torch.float64) -> SpeechEncoder:
        return SpeechEncoder(str(family_folder(kind)), layers=range(LAYERS + 1), dtype=dtype)

    return load


@pytest.fixture(scope="session")
def text_family_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a small encoder of one name in `TEXT`."""

    @cache
    def folder(name: str) -> Path:
        place = tmp_path_factory.mktemp("texts") / name
        write_text(name, place)
        return place

    return folder
