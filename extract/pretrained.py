"""Loading an encoder from a Hugging Face hub id or a folder, with errors that say what to do."""

import hashlib
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import enable_progress_bars  # type: ignore[attr-defined]
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoConfig, AutoModel, PretrainedConfig
from transformers.utils import logging as hf_logging

from mer.extract.checkpoint_files import COPY_AGAIN, damage, refused_pickle, wrong_value
from mer.extract.config import ExtractError
from mer.extract.unavailable import look_for_the_hub, unavailable
from mer.settings import PLUGINS_VARIABLE, UnknownEntryError

# Weights that a checkpoint may lack because hidden states do not come from them:
# BERT's pooler, and the vector that SpecAugment puts in place of masked frames in training.
UNUSED_WEIGHTS = ("pooler.", "masked_spec_embed")

# transformers would otherwise ask the hub, in a background thread, for a converted copy of a `.bin` checkpoint.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")


class EncoderError(ExtractError):
    """An encoder that cannot be had, is of the wrong kind, or whose checkpoint is incomplete."""


def load_config(name: str, revision: str | None, option: str, families: Mapping[str, Any]) -> Any:
    """Read `config.json` of a hub id or folder.

    Args:
        name: Hub id or folder.
        revision: Branch, tag or commit; ignored for a folder.
        option: The command-line option to name in errors, `--speech-model` or `--text-model`.
        families: registered types; those that `transformers` does not know are read as they are written.

    Raises:
        EncoderError: when it is not there, no network reaches the hub, or its type is unknown here and to `transformers`.
    """
    look_for_the_hub(name)
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        # Older transformers would take the kind from the folder's name: "empty" holds "mpt".
        raise EncoderError(unavailable(name, revision, option, FileNotFoundError("no config.json")))
    damaged = damage(Path(name)) if Path(name).is_dir() else None
    if damaged:
        raise EncoderError(f"{option} {name}: {damaged}")
    try:
        kind = PretrainedConfig.get_config_dict(name, revision=revision)[0].get("model_type")
        if kind is not None and kind not in CONFIG_MAPPING:
            families[kind]  # or it is an error that lists them
            own: Any = type("OwnConfig", (PretrainedConfig,), {"model_type": kind})
            config = own.from_pretrained(name, revision=revision)
        else:
            config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except UnknownEntryError as problem:
        raise EncoderError(
            f"{option} {name}: {problem}. A family of your own is known where {PLUGINS_VARIABLE} names its module"
        ) from None
    except Exception as problem:  # wrong types in a config.json end in whatever error transformers happens to meet
        raise EncoderError(unavailable(name, revision, option, problem)) from problem
    if wrong := wrong_value(config):
        raise EncoderError(f"{option} {name}: {wrong}")
    return config


def load_weights(
    name: str,
    revision: str | None,
    option: str,
    config: Any,
    *,
    architecture: Any = AutoModel,
    renamed: Mapping[str, str] | None = None,
    kind: str = "encoder",
) -> nn.Module:
    """Load weights in float32, in evaluation mode, with gradients.

    Args:
        name: Hub id or folder.
        revision: Branch, tag or commit; ignored for a folder.
        option: The command-line option to name in errors.
        config: As it was read.
        architecture: Class of `transformers` that is built, where it is a part of what the checkpoint holds.
        renamed: Patterns in names of the checkpoint's weights, and what they are in `architecture`.
        kind: What the model is, for errors.

    Raises:
        EncoderError: when weights are missing from the checkpoint (they would be random) or cannot be read.
    """
    try:
        with _quiet_loading():
            model, report = architecture.from_pretrained(
                name,
                revision=revision,
                config=config,
                dtype=torch.float32,  # transformers 5 would take the checkpoint's own, be it float16
                attn_implementation=attention_of(config),
                output_loading_info=True,
                **({"trust_remote_code": False} if architecture is AutoModel else {"key_mapping": renamed}),
            )
    except pickle.UnpicklingError as problem:
        raise EncoderError(f"{option} {name}: {refused_pickle(problem)}") from problem
    except MemoryError:
        raise
    except Exception as problem:  # damaged files end in whatever error the reading library happens to meet
        raise EncoderError(unavailable(name, revision, option, problem, kind)) from problem
    assert isinstance(model, nn.Module)
    inside = f"{getattr(model, 'base_model_prefix', '')}."  # of a model with more on top of the encoder
    missing = sorted(key for key in report["missing_keys"] if not key.removeprefix(inside).startswith(UNUSED_WEIGHTS))
    if missing:
        raise EncoderError(
            f"{option} {name}: the checkpoint lacks {len(missing)} weights of a {config.model_type} {kind}, first "
            f"{missing[0]!r}; they would be random. Give the folder or id of a complete pretrained {kind}."
        )
    odd = [key for key, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())]
    if odd:
        raise EncoderError(f"{option} {name}: {len(odd)} weights hold NaN or infinite numbers, first {odd[0]!r}; {COPY_AGAIN}")
    if renamed:
        model = _under_its_own_names(architecture, model)
    # A config may ask for tuples instead of named outputs, or for what is never looked at.
    asked: Any = model.config
    asked.return_dict = True
    asked.output_attentions = asked.output_hidden_states = False
    return model.eval()


def attention_of(config: Any) -> str:
    """The implementation of attention: PyTorch's `sdpa` where the architecture has it, else `eager`.

    Said here rather than left to the installed transformers or to a config. The two differ by rounding.
    """
    architecture: Any = MODEL_MAPPING.get(type(config), None)
    architecture = architecture[0] if isinstance(architecture, tuple) else architecture
    return "sdpa" if getattr(architecture, "_supports_sdpa", False) else "eager"


def weights_fingerprint(model: nn.Module) -> str:
    """Sha256 over names and float32 bytes of all weights that reach the hidden states.

    Hashes what was loaded rather than a file, so that `.bin` and `.safetensors` of one checkpoint are one identity.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith(UNUSED_WEIGHTS):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def model_label(name: str) -> str:
    """How a model is called in a cache's identity: the hub id, or a folder's own name (never a machine's path)."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _under_its_own_names(architecture: Any, model: nn.Module) -> nn.Module:
    """The same weights in a new model: transformers would put the checkpoint's names back whenever the other is saved."""
    with torch.device("meta"):
        made = architecture(model.config)
    assert isinstance(made, nn.Module)
    made.load_state_dict(model.state_dict(), assign=True)
    return made


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """No table of unused weights and no bar while weights are read; downloads keep theirs."""
    verbosity = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    enable_progress_bars()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        hf_logging.enable_progress_bar()
