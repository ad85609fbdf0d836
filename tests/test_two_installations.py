"""One cache under two sets of versions: begun by one, gone on with, trained and predicted with by the other.

`MER_OTHER_PYTHON` is the interpreter of the other installation; CI sets it to that of `constraints-oldest.txt`.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from mer.cache import open_cache

OTHER = os.environ.get("MER_OTHER_PYTHON")
TEXTS = ("i am so happy that you came", "leave me alone", "we lost it all", "the bus leaves at noon")
LABELS = ("angry", "happy", "sad")
VERSIONS = "import json, transformers, numpy; print(json.dumps([transformers.__version__, numpy.__version__]))"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OTHER is None, reason="MER_OTHER_PYTHON is not set: no second installation to compare with"),
]


class Made(NamedTuple):
    """What commands left: the cache's folder and the head's run directory."""

    cache: Path
    run: Path


def mer(python: str, *command: str) -> Any:
    """What a command of one installation prints as JSON."""
    # Two versions of numba would throw away each other's compiled loops.
    compiled = Path(tempfile.gettempdir()) / f"mer-numba-{hashlib.sha256(python.encode()).hexdigest()[:12]}"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(compiled)}
    done = subprocess.run(
        [python, "-m", "mer.cli", *command, "--json", "--quiet"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return json.loads(done.stdout)


def write_corpus(folder: Path) -> Path:
    """Noise of half a second, some of it to be resampled, in three sessions."""
    folder.mkdir()
    rows = []
    for row in range(18):
        rate = 16_000 if row % 3 else 22_050
        samples = np.random.default_rng(row).normal(0.0, 0.1, int((0.3 + 0.05 * (row % 7)) * rate))
        soundfile.write(folder / f"u{row}.wav", samples, rate)
        rows.append(
            {
                "id": f"u{row}",
                "wav": f"u{row}.wav",
                "text": TEXTS[row % 4],
                "label": LABELS[row % 3],
                "speaker": f"s{row // 6}-{row % 2}",
                "session": str(1 + row // 6),
            }
        )
    (folder / "small.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "small.jsonl"


class Bench:
    """The same commands for any interpreter, over one corpus and one pair of encoders."""

    def __init__(self, folder: Path, speech: Path, text: Path) -> None:
        self.folder = folder
        self.corpus = write_corpus(folder / "corpus")
        self.encoders = ("--speech-model", str(speech), "--text-model", str(text))

    def extract(self, python: str, name: str, *options: str) -> None:
        where = ("--corpus", str(self.corpus), "--cache", str(self.folder / name), "--granularity", "F+T", "--device", "cpu")
        mer(python, "extract", *where, *self.encoders, *options)

    def train(self, python: str, name: str) -> Made:
        runs = self.folder / f"{name}-runs"
        (cache,) = (spec.parent for spec in (self.folder / name).rglob("spec.json"))
        how = ("--granularity", "F", "--hidden", "8", "--max-epochs", "3", "--seeds", "1", "--folds", "1-2", "--device", "cpu")
        mer(python, "train-head", "--cache", str(cache), "--runs", str(runs), *how)
        (result,) = runs.rglob("result.json")
        return Made(cache, result.parent)

    def predict(self, python: str, made: Made) -> Any:
        return mer(python, "predict", str(made.run), str(self.corpus), *self.encoders, "--device", "cpu")


@pytest.fixture
def bench(speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path, tmp_path: Path) -> Bench:
    return Bench(tmp_path, speech_encoder_folder("wav2vec2"), text_encoder_folder)


def test_a_cache_and_a_head_of_two_installations_have_the_numbers_of_either(bench: Bench) -> None:
    """Each begins a cache that the other ends, so that every utterance is encoded by both."""
    assert OTHER is not None
    versions = [
        subprocess.run([python, "-c", VERSIONS], capture_output=True, check=True).stdout for python in (sys.executable, OTHER)
    ]
    assert versions[0] != versions[1]
    made = []
    for name, begins, ends in (("here-then-there", sys.executable, OTHER), ("there-then-here", OTHER, sys.executable)):
        bench.extract(begins, name, "--session", "1")
        bench.extract(ends, name)
        made.append(bench.train(ends, name))
    check_features(*made)
    check_logits(*made)
    answers = [bench.predict(python, made[0])["predictions"] for python in (sys.executable, OTHER)]
    assert [len(each) for each in answers] == [18, 18]
    for ours, theirs in zip(*answers, strict=True):
        assert ours["id"] == theirs["id"]
        assert theirs["probabilities"] == pytest.approx(ours["probabilities"], abs=1e-4)


def check_features(one: Made, other: Made) -> None:
    """One key, the same utterances, the same values."""
    assert one.cache.name == other.cache.name
    first, second = (open_cache(each.cache) for each in (one, other))
    assert sorted(first.utterances.ids) == sorted(second.utterances.ids)
    for granularity in ("F", "T"):
        for utterance in first.utterances.ids:
            ours, theirs = (np.asarray(each.read(utterance, granularity), np.float32) for each in (first, second))
            # Float32 sums in another order, stored as float16: a unit in its last place.
            np.testing.assert_allclose(theirs, ours, rtol=2**-10, atol=1e-4)
            assert float(np.abs(ours).max()) > 0.1


def check_logits(one: Made, other: Made) -> None:
    """Heads that were trained by either, on those caches, answer alike."""
    first, second = (load_file(each.run / "logits.safetensors") for each in (one, other))
    assert set(first) == set(second)
    for run, logits in first.items():
        assert float(logits.std(0).max()) > 1e-3
        torch.testing.assert_close(second[run], logits, rtol=1e-3, atol=1e-4)
