"""A small recogniser, and recordings of noise to align with it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.tests.recognise.small_recognisers import write_ctc


@pytest.fixture(scope="session")
def small_ctc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ctc(tmp_path_factory.mktemp("ctc") / "small")


@pytest.fixture(scope="session")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of three recordings of noise, of which the second has too long a text and the third none."""
    root = tmp_path_factory.mktemp("noise")
    rows = []
    for number, text in enumerate(["So, what is 7 é?", "w" * 90, None]):
        wave = np.random.default_rng(number).normal(scale=0.1, size=16_000)
        soundfile.write(root / f"u{number}.wav", wave, 16_000)
        row = {"id": f"u{number}", "wav": f"u{number}.wav", "label": "joy", "speaker": "s", "session": "1"}
        rows.append(row | ({} if text is None else {"text": text}))
    (root / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root / "own.jsonl"
