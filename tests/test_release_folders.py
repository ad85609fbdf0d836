"""From the folder of a released corpus to its table: census, features and heads, as a person gives the commands."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import CORPORA
from mer.tests.corpus.release_folders import RELEASES

pytestmark = pytest.mark.slow
SESSIONS = {"esd": 4, "tess": 2, "ravdess": 3, "crema-d": 3, "emodb": 3, "savee": 3, "meld": 1, "msp-podcast": 2}
"""Folds of each miniature: what its own protocol tests one after the other; of given parts, the test parts."""


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_goes_through_every_command(
    tmp_path: Path, name: str, speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path
) -> None:
    RELEASES[name](tmp_path / "copy")

    def mer(*words: str) -> str:
        done = CliRunner().invoke(app, [*words], env={"HF_HUB_OFFLINE": "1", "COLUMNS": "200"})
        assert done.exit_code == (1 if words[0] == "doctor" else 0), done.output  # no miniature is a whole release
        return done.output

    if name == "meld":
        assert "surprise-negative" in mer("doctor", "--corpus", str(tmp_path / "copy"))
    said = "F" if name == "savee" else "F+T"  # SAVEE has no texts
    encoders = ("--speech-model", str(speech_encoder_folder("wav2vec2")), "--text-model", str(text_encoder_folder))
    cache, runs = str(tmp_path / "features"), str(tmp_path / "runs")
    mer("extract", "--corpus", str(tmp_path / "copy"), "--cache", cache, "--granularity", said, *encoders, "--quiet")
    head = ("--fusion", "late", "--granularity", "F", "--modality", "speech" if said == "F" else "both")
    mer("train-head", "--cache", cache, "--runs", runs, *head, "--seeds", "1", "--max-epochs", "1", "--quiet")
    (file,) = Path(runs).glob("*/result.json")
    result = json.loads(file.read_text())
    classes = set(CORPORA[name].class_maps[CORPORA[name].classes].values())
    assert set(result["summary"]["classes"]) == classes
    assert result["summary"]["runs"] == SESSIONS[name]
    assert name in mer("report", runs, "--format", "markdown") or result["corpus"] == name
