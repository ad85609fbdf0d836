"""A trained model on disk: everything that a prediction needs, without the hub and without pickle.

model.safetensors   all weights, float32
speech/, text/      each encoder's config, preprocessor or tokenizer, in Hugging Face format, without weights
config.json         the row that was trained, class names, identity, sha256 of the weights; written last
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from mer.extract import ExtractError
from mer.extract.families.checkpoint import Checkpoint
from mer.extract.families.open_checkpoint import open_speech, open_text
from mer.extract.pretrained import model_label
from mer.files import file_sha256, whole_folder
from mer.files.regular_file import read_text_file
from mer.files.tensors import save_tensors
from mer.finetune.backbones import SpeechBackbone, TextBackbone
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.model import FinetuneModel
from mer.finetune.trainable import TrainableEncoders
from mer.results.file_hashes import sha256_of
from mer.results.shape import misfit

FORMAT = "mer-finetune-1"
SHAPE = {"config": dict, "classes": [str], "identity": dict, "sha256": str}
"""What `config.json` must hold beside its format."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SavedModel:
    """What was read from a folder."""

    model: FinetuneModel
    """In evaluation mode, on the CPU."""
    encoders: TrainableEncoders
    """Those of `model`; they prepare audio and text for it."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    identity: dict[str, Any]
    """What the training said of itself: encoders, fold, seed, corpus."""


def save_model(
    folder: Path, model: FinetuneModel, config: FinetuneConfig, classes: Sequence[str], identity: Mapping[str, Any]
) -> None:
    """Write a trained model, whole or not at all; what was in `folder` before is replaced.

    Args:
        folder: its parent exists, and nobody else writes there: hidden neighbours, which a killed process leaves, are removed.
        model: as it is to be tested.
        config: the row that was trained; encoders are named by id or by their folder's name, never by a machine's path.
        classes: names in the order of the logits.
        identity: JSON-able; kept as it is.
    """
    with whole_folder(folder, replace=True, alone=True) as scratch:
        for name, encoder in (("speech", model.speech), ("text", model.text)):
            if encoder is not None:
                (scratch / name).mkdir(parents=True)
                encoder.checkpoint.save(scratch / name, encoder.model, weights=False)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        save_tensors(weights, scratch / "model.safetensors", {"format": FORMAT})
        written = dataclasses.asdict(config)
        written |= {name: model_label(written[name]) for name in ("speech_model", "text_model")}
        document = {
            "format": FORMAT,
            "config": written,
            "classes": list(classes),
            "identity": dict(identity),
            "sha256": file_sha256(scratch / "model.safetensors"),
        }
        (scratch / "config.json").write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def load_model(folder: Path) -> SavedModel:
    """Read a model that `save_model` wrote; nothing but this folder is needed.

    Raises:
        FinetuneError: no model there, one of another format, or files that are missing or altered.
    """
    document, weights = check_model(folder), folder / "model.safetensors"
    values = document["config"]
    settings: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    config = FinetuneConfig(**settings)
    classes = tuple(document["classes"])
    try:
        encoders = _encoders_without_weights(folder, config, document["identity"])
        model = FinetuneModel(config, encoders, len(classes), seed_generator=torch.Generator())
        model.load_state_dict(load_file(weights))
    except (ExtractError, SafetensorError, RuntimeError) as problem:
        raise FinetuneError(f"{folder}: not loadable as a model of its config: {problem}") from problem
    return SavedModel(model=model.eval(), encoders=encoders, classes=classes, identity=document["identity"])


def check_model(folder: Path) -> dict[str, Any]:
    """The config of a saved model whose weights are those that it names.

    Raises:
        FinetuneError: no model there, one of another format, or weights that are missing or altered.
    """
    document, weights = _read_document(folder), folder / "model.safetensors"
    found = sha256_of(weights) if weights.is_file() else "nothing"
    if found != document["sha256"]:
        raise FinetuneError(
            f"{weights}: missing or not the file that config.json names (expected sha256 {str(document['sha256'])[:12]}, found "
            f"{found[:12]}); copy the folder again, or train again"
        )
    return document


def _encoders_without_weights(folder: Path, config: FinetuneConfig, identity: dict[str, Any]) -> TrainableEncoders:
    speech, text = None, None
    if "speech" in config.modalities:
        spoken = open_speech(str(folder / "speech"))
        speech = SpeechBackbone(spoken, _untrained(spoken), config)
    if "text" in config.modalities:
        written = open_text(str(folder / "text"))
        text = TextBackbone(written, _untrained(written), config)
    return TrainableEncoders(speech, text, identity)


def _untrained(checkpoint: Checkpoint) -> nn.Module:
    """An encoder of this shape, ready to take weights; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return checkpoint.build().eval()


def _read_document(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        document: dict[str, Any] = json.loads(read_text_file(file))
    except (OSError, ValueError, RecursionError) as problem:
        raise FinetuneError(f"{folder}: no model saved by `mer finetune` (config.json: {problem})") from problem
    if wrong := misfit(document, {"format": str}):
        raise FinetuneError(f"{folder}: no model saved by `mer finetune` (config.json: {wrong})")
    if document["format"] != FORMAT:
        raise FinetuneError(f"{file}: format {document['format']!r}, this mer reads {FORMAT!r}")
    if wrong := misfit(document, SHAPE):
        raise FinetuneError(f"{file}: is damaged: {wrong}; copy the folder again, or train again")
    return document
