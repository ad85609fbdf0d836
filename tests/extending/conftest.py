"""A folder in which the exercises of docs/extending.md are done."""

import importlib.util
import shutil
from pathlib import Path

import pytest

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

[finetune]
seeds = 1
folds = "1"
epochs = 1
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
