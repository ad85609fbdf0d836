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
    pytest.mark.xdist_group("two installations"),
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


@pytest.fixture(scope="module")
def bench(
    speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    return Bench(tmp_path_factory.mktemp("two"), speech_encoder_folder("wav2vec2"), text_encoder_folder)


@pytest.fixture(scope="module")
def made(bench: Bench) -> dict[str, Made]:
    """By this installation alone; begun by one, finished and trained by the other, both ways."""
    assert OTHER is not None
    plans = {
        "here": (sys.executable, sys.executable),
        "here-then-there": (sys.executable, OTHER),
        "there-then-here": (OTHER, sys.executable),
    }
    found = {}
    for name, (begins, ends) in plans.items():
        if begins != ends:
            bench.extract(begins, name, "--session", "1")
        bench.extract(ends, name)
        found[name] = bench.train(ends, name)
    return found


def test_the_installations_differ() -> None:
    assert OTHER is not None
    versions = [
        subprocess.run([python, "-c", VERSIONS], capture_output=True, check=True).stdout for python in (sys.executable, OTHER)
    ]
    assert versions[0] != versions[1]


def test_a_cache_has_one_key_whoever_makes_it(made: dict[str, Made]) -> None:
    assert len({each.cache.name for each in made.values()}) == 1


def test_a_half_made_cache_is_gone_on_with_and_holds_the_same_features(made: dict[str, Made]) -> None:
    whole = open_cache(made["here"].cache)
    for name in ("here-then-there", "there-then-here"):
        other = open_cache(made[name].cache)
        assert sorted(other.utterances.ids) == sorted(whole.utterances.ids)
        for granularity in ("F", "T"):
            for utterance in whole.utterances.ids:
                ours, theirs = (np.asarray(c.read(utterance, granularity), np.float32) for c in (whole, other))
                # Float32 sums in another order, stored as float16: a unit in its last place.
                np.testing.assert_allclose(theirs, ours, rtol=2**-10, atol=1e-4)
                assert float(np.abs(ours).max()) > 0.1


def test_a_head_trained_by_either_gives_the_same_logits(made: dict[str, Made]) -> None:
    expected = load_file(made["here"].run / "logits.safetensors")
    for name in ("here-then-there", "there-then-here"):
        found = load_file(made[name].run / "logits.safetensors")
        assert set(found) == set(expected)
        for run, logits in expected.items():
            assert float(logits.std(0).max()) > 1e-3
            torch.testing.assert_close(found[run], logits, rtol=1e-3, atol=1e-4)


def test_a_run_of_either_answers_the_same_under_the_other(bench: Bench, made: dict[str, Made]) -> None:
    assert OTHER is not None
    here, there = (bench.predict(python, made["here-then-there"])["predictions"] for python in (sys.executable, OTHER))
    assert len(here) == len(there) == 18
    for ours, theirs in zip(here, there, strict=True):
        assert ours["id"] == theirs["id"]
        assert theirs["probabilities"] == pytest.approx(ours["probabilities"], abs=1e-4)
