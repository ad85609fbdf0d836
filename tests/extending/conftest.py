"""A small corpus, small encoders and small settings, in which a reader of docs/extending.md does what it says."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mer.tests.extending.doc_blocks import Told, follow, section

DATA = Path(__file__).parents[1] / "data"
SETTINGS = """
corpus = "corpus/corpus.jsonl"
speech-model = "speech"
text-model = "text"
device = "cpu"

[train-head]
seeds = 2
max-epochs = 2
hidden = 4
classes = "as-is"

[grid]
seeds = 1
max-epochs = 1
classes = "as-is"
"""


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small corpus, small encoders, and settings that make everything small."""
    folder = tmp_path_factory.mktemp("extending")
    spec = importlib.util.spec_from_file_location("make_results_v1", DATA / "make_results_v1.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    made.write_corpus(folder / "corpus")
    for name in ("speech", "text"):
        shutil.copytree(DATA / "results-v1" / "exported" / name, folder / name)
    shutil.copy(folder / "corpus" / "u1.wav", folder / "hello.wav")
    (folder / "mer.toml").write_text(SETTINGS)
    return folder


def done(folder: Path, title: str) -> dict[str, Told]:
    """What a section's commands said, none of which failed."""
    told = follow(section(title), folder)
    failed = {words: each for words, each in told.items() if each.code != 0}
    assert not failed, failed
    return told


def result_of(folder: Path, pattern: str) -> dict[str, Any]:
    (found,) = (folder / "runs").glob(f"{pattern}/result.json")
    values: dict[str, Any] = json.loads(found.read_text())
    return values
