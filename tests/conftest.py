"""What several rooms' tests share: small encoders in Hugging Face format, made once per test run."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from mer.tests import array_types
from mer.tests.loaded_weights import weights_are_read_once as weights_are_read_once

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that run tests side by side leave each other the cores; before PyTorch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Where Python was told to keep no bytecode, each command that a test starts would compile the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Triton's kernels run in its interpreter, unless a GPU is to run them; before anything imports Triton.
os.environ.setdefault("TRITON_INTERPRET", "1")

array_types.install()

# How long an example takes says something of the machine, not of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def array_types_are_checked() -> None:
    array_types.begin_test()


TEXTS = [
    "i am so happy that you came to see us",
    "leave me alone, i will not say it again",
    "we lost it all and nothing will bring it back",
    "the bus leaves at noon from the old station",
]


@pytest.fixture(scope="session")
def text_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mer.demo.small_encoders import write_small_text_encoder

    folder = tmp_path_factory.mktemp("text") / "small-bert"
    write_small_text_encoder(folder, TEXTS, seed=3)
    return folder


@pytest.fixture(scope="session")
def speech_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a small speech encoder of one kind, written when first asked for."""
    from mer.demo.small_encoders import write_small_speech_encoder

    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("speech") / f"small-{kind}"
            write_small_speech_encoder(made[kind], seed=1, kind=kind)  # type: ignore[arg-type]
        return made[kind]

    return folder
