"""Whoever follows docs/extending.md gets an encoder family of their own through every command."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mer.tests.extending.doc_blocks import Told, done, give

# Commands, as a user gives them; what a section has made is there once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("extending encoders")]
DIM, LAYERS, LETTERS = 16, 2, 30


@pytest.fixture(scope="module")
def with_letters(ready: Path) -> tuple[Path, dict[str, Told]]:
    """The commands of the section, with a random checkpoint in the format that it describes."""
    folder = ready / "small-letters"
    folder.mkdir()
    values = {"model_type": "letters", "hidden_size": DIM, "num_hidden_layers": LAYERS, "positions": 500}
    (folder / "config.json").write_text(json.dumps(values))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.ModuleList(nn.GRU(DIM, DIM // 2, bidirectional=True, batch_first=True) for _ in range(LAYERS))
        parts = nn.ModuleDict({"embedding": nn.Embedding(LETTERS, DIM), "layers": layers})
    save_file(parts.state_dict(), folder / "model.safetensors")
    return ready, done(ready, "A text-encoder family")


def test_an_encoder_of_ones_own_goes_through_every_command(with_letters: tuple[Path, dict[str, Told]]) -> None:
    folder, told = with_letters
    said = {command.partition(" ")[0] for command in told}
    assert said == {"doctor", "extract", "train-head", "grid", "predict", "export", "finetune", "report"}
    (spec,) = (json.loads(file.read_text()) for file in (folder / "features").rglob("spec.json"))
    digest = hashlib.sha256((folder / "letters.py").read_bytes()).hexdigest()
    assert spec["text"]["family"] == {"module": "letters", "class": "Letters", "sha256": digest}
    assert (spec["text"]["type"], spec["dim"]["text"], spec["layers"]["text"]) == ("letters", DIM, [1, 2])
    assert "batches" not in spec["text"]
    assert "a letters encoder" in told["doctor --text-model small-letters"].output
    by_run, by_export = (each.output for words, each in told.items() if words.startswith("predict"))
    assert by_run
    assert by_run == by_export
    table = told["report runs --format markdown"].output
    for row in ("late F+T", "linear T"):
        assert f"\n| {row} |" in table


def test_prediction_says_which_family_is_missing_or_changed(with_letters: tuple[Path, dict[str, Told]], tmp_path: Path) -> None:
    folder, _ = with_letters
    (tmp_path / "letters.py").write_text((folder / "letters.py").read_text() + "\n# another file\n")
    words = ("predict", str(folder / "exported-letters"), "--wav", str(folder / "hello.wav"), "--text", "i am")
    (missing,) = give([words], tmp_path, {}).values()
    (changed,) = give([words], tmp_path, {"MER_PLUGINS": "letters"}).values()
    assert (missing.code, changed.code) == (2, 2)
    assert "unknown family of text encoders 'letters'" in missing.errors
    assert "MER_PLUGINS" in missing.errors
    assert "not the encoder" in changed.errors
    assert "(different: family)" in changed.errors


@pytest.fixture(scope="module")
def with_bands(ready: Path) -> tuple[Path, dict[str, Told]]:
    """The commands of the section, with a random checkpoint in the format that it describes."""
    for made in ("runs", "features"):
        shutil.rmtree(ready / made, ignore_errors=True)
    folder = ready / "small-bands"
    folder.mkdir()
    values = {"model_type": "bands", "hidden_size": DIM, "num_hidden_layers": LAYERS}
    (folder / "config.json").write_text(json.dumps(values))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.ModuleList(nn.GRU(DIM, DIM, batch_first=True) for _ in range(LAYERS))
        parts = nn.ModuleDict({"bands": nn.Linear(201, DIM), "layers": layers})
    save_file(parts.state_dict(), folder / "model.safetensors")
    return ready, done(ready, "A speech-encoder family")


def test_a_speech_encoder_of_ones_own_goes_through_every_command(with_bands: tuple[Path, dict[str, Told]]) -> None:
    folder, told = with_bands
    said = {command.partition(" ")[0] for command in told}
    assert said == {"doctor", "extract", "train-head", "predict", "export", "finetune"}
    (spec,) = (json.loads(file.read_text()) for file in (folder / "features").rglob("spec.json"))
    digest = hashlib.sha256((folder / "bands.py").read_bytes()).hexdigest()
    assert spec["speech"]["family"] == {"module": "bands", "class": "Bands", "sha256": digest}
    assert (spec["speech"]["type"], spec["dim"]["speech"], spec["layers"]["speech"]) == ("bands", DIM, [1, 2])
    assert "batches" not in spec["speech"]
    assert "a bands encoder" in told["doctor --speech-model small-bands"].output
    by_run, by_export = (each.output for words, each in told.items() if words.startswith("predict"))
    assert by_run
    assert by_run == by_export
