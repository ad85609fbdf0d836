"""Adapters: W + s B A in the encoder, and nothing of them left out in silence."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mer.extract import EncoderError
from mer.extract.families.open_checkpoint import open_speech, open_text
from mer.extract.pretrained import weights_fingerprint
from mer.status.doctor.machine import encoder_check

Folder = Callable[[str], Path]
Shapes = Mapping[str, tuple[int, int]]
RANK, ALPHA = 2, 6.0
FILE = "adapter_model.safetensors"


def write_adapter(
    folder: Path, base: Path, modules: Shapes, whole: Mapping[str, Tensor] | None = None, **settings: Any
) -> dict[str, Tensor]:
    """An adapter as peft writes it, for linear layers by name with (outputs, inputs), and whole weights; its matrices."""
    folder.mkdir()
    given = {"peft_type": "LORA", "base_model_name_or_path": str(base), "r": RANK, "lora_alpha": ALPHA, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(given | {"rank_pattern": {}, "init_lora_weights": True} | settings))
    torch.manual_seed(3)
    matrices = {}
    for name, (outputs, inputs) in modules.items():
        matrices[f"base_model.model.{name}.lora_A.weight"] = torch.randn(RANK, inputs)
        matrices[f"base_model.model.{name}.lora_B.weight"] = torch.randn(outputs, RANK)
    save_file(matrices | {f"base_model.model.{name}": each for name, each in (whole or {}).items()}, folder / FILE)
    return matrices


def linear(model: nn.Module, ending: str) -> tuple[str, tuple[int, int]]:
    name, module = next((name, each) for name, each in model.named_modules() if name.endswith(ending))
    assert isinstance(module, nn.Linear)
    return name, (module.out_features, module.in_features)


@pytest.mark.parametrize(
    ("kind", "prefix", "ending", "settings", "scale"),
    [
        ("wav2vec2", "wav2vec2.", "layers.0.attention.q_proj", {}, ALPHA / RANK),
        ("wav2vec2", "", "layers.1.feed_forward.output_dense", {"use_rslora": True}, ALPHA / np.sqrt(RANK)),
        ("whisper", "model.encoder.", "layers.0.self_attn.v_proj", {}, ALPHA / RANK),
        ("text", "bert.", "attention.self.query", {}, ALPHA / RANK),
    ],
)
def test_an_adapter_adds_s_b_a_to_the_layers_that_it_names_and_to_no_other(
    kind: str,
    prefix: str,
    ending: str,
    settings: Mapping[str, Any],
    scale: float,
    family_folder: Folder,
    text_encoder_folder: Path,
    tmp_path: Path,
) -> None:
    base, opened = (text_encoder_folder, open_text) if kind == "text" else (family_folder(kind), open_speech)
    plain = opened(str(base)).load()
    name, shape = linear(plain, ending)
    # Whisper's decoder has layers of the same names, and classifiers are no part of an encoder.
    others = {f"model.decoder.{ending}": (8, 8), "classifier": (4, 8)}
    norm = next(key for key in plain.state_dict() if key.endswith("norm.weight") or key.endswith("LayerNorm.weight"))
    trained = {f"{prefix}{norm}": torch.full_like(plain.state_dict()[norm], 0.5), "classifier.weight": torch.ones(3)}
    matrices = write_adapter(tmp_path / "adapted", base, {f"{prefix}{name}": shape, **others}, trained, **settings)
    checkpoint = opened(str(tmp_path / "adapted"))
    merged = checkpoint.load()
    first, second = (matrices[f"base_model.model.{prefix}{name}.lora_{half}.weight"].double().numpy() for half in "AB")
    before, after = plain.state_dict(), merged.state_dict()
    expected = before[f"{name}.weight"].double().numpy() + scale * second @ first
    np.testing.assert_allclose(after[f"{name}.weight"].numpy(), expected, rtol=1e-6, atol=1e-6)
    assert {key for key in before if not torch.equal(before[key], after[key])} == {f"{name}.weight", norm}
    assert after[norm].eq(0.5).all()
    said = checkpoint.describe(merged)
    assert (said["model"], said["revision"]) == ("adapted", None)
    assert said["adapter_of"] == {"model": base.name, "revision": None}
    checkpoint.save(tmp_path / "saved", merged, weights=True)
    whole = opened(str(tmp_path / "saved"))
    assert weights_fingerprint(whole.load()) == said["weights_sha256"] != weights_fingerprint(plain)
    assert "adapter_of" not in whole.describe(plain)


def test_what_is_no_plain_lora_is_refused_with_how_it_is_merged(family_folder: Folder, tmp_path: Path) -> None:
    base = family_folder("wav2vec2")
    name, shape = linear(open_speech(str(base)).load(), "layers.0.attention.q_proj")
    refused: dict[str, tuple[dict[str, tuple[int, int]], dict[str, Any], str]] = {
        "dora": ({name: shape}, {"use_dora": True}, "use_dora = True, which mer does not read.*merge_and_unload"),
        "pissa": ({name: shape}, {"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa'"),
        "ranks": ({name: shape}, {"rank_pattern": {"q_proj": 4}}, "rank_pattern = "),
        "later": ({name: shape}, {"use_something": True}, "use_something = True, which mer does not read"),
        "loftq": ({name: shape}, {"loftq_config": {"bits": 4}}, "loftq_config = "),
        "other kind": ({name: shape}, {"peft_type": "IA3"}, "peft_type = 'IA3'"),
        "rank zero": ({name: shape}, {"r": 0}, "cannot be read .*division"),
        "nothing": ({"model.decoder.layers.0.fc1": shape}, {}, "nothing in adapter_model.safetensors belongs to"),
        "other width": ({name: (shape[0] + 1, shape[1])}, {}, "they do not belong together"),
        "no base": ({name: shape}, {"base_model_name_or_path": str(tmp_path / "gone")}, "not a folder here"),
    }
    for folder, (modules, settings, said) in refused.items():
        write_adapter(tmp_path / folder, base, modules, **settings)
        with pytest.raises(EncoderError, match=said):
            open_speech(str(tmp_path / folder)).load()
    torn = tmp_path / "torn"
    write_adapter(torn, base, {name: shape})
    whole = (torn / FILE).read_bytes()
    assert encoder_check("--speech-model", str(torn)).status == "ok"
    (torn / FILE).write_bytes(whole[:-3])
    with pytest.raises(EncoderError, match=r"adapter_model\.safetensors cannot be read .*copy it again"):
        open_speech(str(torn)).load()
    checked = encoder_check("--speech-model", str(torn))
    assert checked.status == "problem"
    assert "adapter_model.safetensors cannot be read" in checked.found
    save_file({f"base_model.model.{name}.lora_A.weight": torch.ones(2, 2)}, torn / FILE)
    with pytest.raises(EncoderError, match="holds no pair of matrices for"):
        open_speech(str(torn)).load()
    (torn / "adapter_config.json").write_text("{}")
    with pytest.raises(EncoderError, match=r"'base_model_name_or_path' is missing.*merge_and_unload"):
        open_speech(str(torn))
