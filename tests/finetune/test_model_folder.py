import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mer.extract.families.checkpoint import Checkpoint
from mer.files import folders
from mer.files.folders import HIDDEN
from mer.finetune import model_folder
from mer.finetune.batch import Batch
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.model import FinetuneModel
from mer.finetune.model_folder import load_model, save_model
from mer.finetune.trainable import TrainableEncoders, load_encoders

NarrowConfig = Callable[..., FinetuneConfig]
MakeBatch = Callable[..., Batch]
CLASSES = ("angry", "happy", "sad")


def make_model(config: FinetuneConfig) -> tuple[FinetuneModel, TrainableEncoders]:
    """A model whose every weight has moved, as training would."""
    encoders = load_encoders(config)
    model = FinetuneModel(config, encoders, 3, seed_generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    return model.eval(), encoders


@pytest.mark.parametrize(
    "settings",
    [
        {"aux": "1+2", "fusion_layers": 2, "folds": ("1", "3"), "aux_weights": (0.5, 2.0)},
        {"modality": "text"},
        {"modality": "speech", "checkpointing": True, "spec_augment": True},
        {"kind": "wavlm", "fusion": "fc"},
    ],
)
def test_what_is_read_back_gives_the_same_bits(
    settings: dict[str, Any], narrow_config: NarrowConfig, make_batch: MakeBatch, tmp_path: Path
) -> None:
    config = narrow_config(**settings)
    model, encoders = make_model(config)
    save_model(tmp_path / "model", model, config, CLASSES, {"encoders": encoders.identity, "fold": "2"})
    before = torch.get_rng_state()
    saved = load_model(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), before)
    batch, again = make_batch(encoders), make_batch(saved.encoders)
    if batch.tokens is not None:
        assert again.tokens is not None
        assert torch.equal(batch.tokens, again.tokens)
    with torch.no_grad():
        assert torch.equal(saved.model(again).logits, model(batch).logits)
    assert not saved.model.training
    assert saved.classes == CLASSES
    assert saved.identity == {"encoders": encoders.identity, "fold": "2"}
    names: dict[str, Any] = {"speech_model": Path(config.speech_model).name, "text_model": Path(config.text_model).name}
    assert saved.model.config == dataclasses.replace(config, **names)


def test_a_folder_needs_nothing_else_and_names_no_machine(narrow_config: NarrowConfig, tmp_path: Path) -> None:
    config = narrow_config()
    model, _ = make_model(config)
    save_model(tmp_path / "model", model, config, CLASSES, {})
    found = {str(path.relative_to(tmp_path / "model")) for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert {"config.json", "model.safetensors", "speech/config.json", "speech/preprocessor_config.json"} <= found
    assert {"text/config.json", "text/tokenizer.json", "text/tokenizer_config.json"} <= found
    assert {Path(name).suffix for name in found} <= {".json", ".safetensors", ".txt"}
    machine = str(Path(config.speech_model).parent.parent)
    for name in found - {"model.safetensors"}:
        assert machine not in (tmp_path / "model" / name).read_text(encoding="utf-8"), name
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert set(weights) == set(model.state_dict())
    (tmp_path / "model").rename(tmp_path / "moved")
    assert load_model(tmp_path / "moved").classes == CLASSES


def test_a_new_model_replaces_the_old_and_what_a_killed_process_left(narrow_config: NarrowConfig, tmp_path: Path) -> None:
    config = narrow_config(modality="text")
    model, _ = make_model(config)
    for number in (1, 2):
        (tmp_path / f"{HIDDEN}killed{number}").mkdir()
        save_model(tmp_path / "model", model, config, CLASSES, {"number": number})
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        assert load_model(tmp_path / "model").identity == {"number": number}


@pytest.mark.parametrize("step", ["save", "save_tensors", "file_sha256", "_put_on_device"])
def test_what_fails_on_the_way_leaves_the_old_model_and_no_rest(
    step: str, narrow_config: NarrowConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = narrow_config(modality="text")
    model, _ = make_model(config)
    save_model(tmp_path / "model", model, config, CLASSES, {"number": 1})

    def fail(*arguments: object, **options: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(next(each for each in (model_folder, folders, Checkpoint) if hasattr(each, step)), step, fail)
        with pytest.raises(OSError, match="no space left"):
            save_model(tmp_path / "model", model, config, CLASSES, {"number": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert load_model(tmp_path / "model").identity == {"number": 1}


def test_the_folder_appears_with_every_file_on_disk(
    narrow_config: NarrowConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = narrow_config(modality="text")
    model, _ = make_model(config)
    synced, fsync = set(), os.fsync

    def note(opened: int) -> None:
        assert not (tmp_path / "model").exists() or Path(f"/proc/self/fd/{opened}").resolve() == tmp_path
        synced.add(os.fstat(opened).st_ino)
        fsync(opened)

    monkeypatch.setattr(os, "fsync", note)
    save_model(tmp_path / "model", model, config, CLASSES, {})
    assert {path.stat().st_ino for path in [tmp_path, tmp_path / "model", *(tmp_path / "model").rglob("*")]} == synced


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8])


def other_format(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": "mer-finetune-9"}))


def other_row(file: Path) -> None:
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document | {"config": document["config"] | {"fusion_layers": 3}}))


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("model.safetensors", cut, r"model.safetensors: missing or not the file that config.json names"),
        ("model.safetensors", Path.unlink, r"model.safetensors: missing or not the file"),
        ("config.json", Path.unlink, r"no model saved by `mer finetune`"),
        ("config.json", cut, r"no model saved by `mer finetune`"),
        ("config.json", other_format, r"format 'mer-finetune-9', this mer reads 'mer-finetune-1'"),
        ("config.json", other_row, r"not loadable as a model of its config"),
        ("text/config.json", Path.unlink, r"not loadable as a model of its config: --text-model"),
        ("speech/preprocessor_config.json", Path.unlink, r"no readable preprocessor_config.json"),
    ],
)
def test_a_damaged_folder_is_refused(
    name: str, harm: Callable[[Path], None], message: str, narrow_config: NarrowConfig, tmp_path: Path
) -> None:
    config = narrow_config()
    model, _ = make_model(config)
    save_model(tmp_path / "model", model, config, CLASSES, {})
    harm(tmp_path / "model" / name)
    with pytest.raises(FinetuneError, match=message):
        load_model(tmp_path / "model")
