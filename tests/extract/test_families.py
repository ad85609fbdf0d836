"""One registry says which encoders there are; everything else asks it."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mer
from mer.extract import (
    SPEECH_FAMILIES,
    TEXT_FAMILIES,
    EncoderError,
    ExtractConfig,
    SpeechEncoder,
    TextCheckpoint,
    TextEncoder,
    open_text,
)
from mer.finetune.backbones import refuse_untrainable
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.settings.option import options_of
from mer.status.doctor import encoder_check

ROOT = Path(mer.__path__[0])


class Letters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Embedding(30, 4), nn.Linear(4, 4)


class LetterFamily(TextCheckpoint):
    max_tokens = 400

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [[1 + ord(letter) % 29 for letter in text] for text in texts]

    def tokenizer_sha256(self) -> str:
        return "0" * 64

    def states(self, model: Any, tokens: Tensor, mask: Tensor, layers: Sequence[int]) -> list[Tensor]:
        found = [model.embedding(tokens)]
        found.append(model.layer(found[0] + self.neighbours(found[0], mask)))
        return [found[layer] for layer in layers]

    def neighbours(self, states: Tensor, mask: Tensor) -> Tensor:
        return ((states * mask[..., None]).sum(1) / mask.sum(1)[:, None])[:, None]

    def load(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Letters().eval()


class MixingFamily(LetterFamily):
    def neighbours(self, states: Tensor, mask: Tensor) -> Tensor:
        return states.mean(1, keepdim=True)


def with_type(folder: Path, kind: str) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "hidden_size": 4, "num_hidden_layers": 1}))
    return str(folder)


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[type], str]:
    """Folder of a checkpoint whose type belongs to a family of the user's own."""

    def make(family: type) -> str:
        monkeypatch.setattr(TEXT_FAMILIES, "_entries", {**TEXT_FAMILIES, "letters": family})
        return with_type(tmp_path / "own", "letters")

    return make


@pytest.mark.parametrize(("family", "exact"), [(LetterFamily, True), (MixingFamily, False)])
def test_a_family_of_ones_own_is_read_and_its_batches_are_tried(
    family: type, exact: bool, letters: Callable[[type], str]
) -> None:
    encoder = TextEncoder(letters(family), layers=[0, 1])
    assert encoder.one_by_one is not exact
    tokens = encoder.tokenize(["leave me alone", "no"])
    for found, ids in zip(encoder(tokens), tokens, strict=True):
        assert found.shape == (len(ids), 2, 4)
        torch.testing.assert_close(found, encoder([ids])[0])
    source = encoder.identity["family"]
    assert (encoder.identity["type"], source["module"], source["class"]) == ("letters", __name__, family.__name__)


def test_a_family_that_cannot_be_read_again_is_not_trained(letters: Callable[[type], str], tmp_path: Path) -> None:
    checkpoint = open_text(letters(LetterFamily))
    with pytest.raises(FinetuneError, match="its family LetterFamily has a `load` of its own and no `build` and `save`"):
        refuse_untrainable(checkpoint)
    with pytest.raises(EncoderError, match="cannot be copied, its family LetterFamily has no `save`"):
        checkpoint.save(tmp_path / "copy", checkpoint.load(), weights=True)


def test_an_unknown_type_gets_the_registered_ones_and_the_nearest(tmp_path: Path, text_encoder_folder: Path) -> None:
    names = ", ".join(SPEECH_FAMILIES)
    odd = with_type(tmp_path / "odd", "wavlmm")
    with pytest.raises(EncoderError, match=rf"'wavlmm' \(did you mean 'wavlm'\?\): expected one of {names}\. .*MER_PLUGINS"):
        SpeechEncoder(odd)
    with pytest.raises(EncoderError, match=rf"a 'bert' model is no speech encoder .* expected one of {names}"):
        SpeechEncoder(str(text_encoder_folder))
    assert "did you mean 'wavlm'" in encoder_check("--speech-model", odd).found
    assert encoder_check("--speech-model", str(text_encoder_folder)).status == "problem"
    assert encoder_check("--text-model", str(text_encoder_folder)).status == "ok"


def test_help_names_every_family() -> None:
    for config in (ExtractConfig, FinetuneConfig):
        assert f"of the type {', '.join(SPEECH_FAMILIES.added)}." in options_of(config)["speech_model"].help


def test_names_are_listed_without_pytorch() -> None:
    code = "import sys; from mer.extract import SPEECH_FAMILIES as found; print(*found); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(SPEECH_FAMILIES)


def test_no_other_list_of_types_is_kept() -> None:
    """But for the history of caches, and the encoders that are made for the demo."""
    elsewhere = []
    for file in sorted(ROOT.rglob("*.py")):
        place = file.relative_to(ROOT).as_posix()
        if place.startswith(("extract/families/", "tests/", "bench/", "demo/", ".dev/")) or place == "cache/last_layer.py":
            continue
        words = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
        elsewhere += [place] if words & {*SPEECH_FAMILIES} else []
    assert elsewhere == []
