"""Adapters of the LoRA kind, merged into the encoder that they were trained on: W + s B A (Hu et al. 2022, eq. 3)."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mer.extract.checkpoint_files import COPY_AGAIN
from mer.extract.pretrained import EncoderError
from mer.files.regular_file import read_text_file

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MERGE = "merge it into its encoder by peft, `model.merge_and_unload().save_pretrained(DIR)`, and give DIR"
PLAIN: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "fan_in_fan_out": (False, None),
    "lora_bias": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layer_replication": (None,),
    "alora_invocation_tokens": (None,),
    "trainable_token_indices": (None,),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva", None),
}
"""Settings that leave W + s B A what is merged, where they have one of these values: others change the base's own weights, or
the scale from layer to layer."""
STARTS = ("use_rslora", "eva_config")
"""Those of the settings `use_*` and `*_config` that are read, or only say where the training began."""
PREFIX = "base_model.model."
_KEY = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<half>[AB])\.weight")


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A folder that peft wrote, as far as it is read: weights only when they are merged."""

    folder: Path
    """Where it is."""
    base: str
    """Hub id or folder of the encoder that it changes."""
    revision: str | None
    """Branch, tag or commit of the base."""
    scale: float
    """s: alpha / r, or alpha / sqrt(r) of rank-stabilised adapters."""

    def merge(self, model: nn.Module, renamed: Mapping[str, str] | None, title: str) -> None:
        """Add the adapter to the weights of an encoder, in place; a layer that was trained whole takes the place of the base's.

        What is for a decoder or a classifier, which are no part of the encoder, is left out.

        Args:
            model: the base encoder, in float32.
            renamed: patterns in names of the checkpoint's weights, and what they are in `model`.
            title: option and checkpoint, as messages begin.

        Raises:
            EncoderError: damaged, of another encoder, or with parts that are no LoRA.
        """
        weights, prefix, changed = model.state_dict(), f"{getattr(model, 'base_model_prefix', '')}.", 0
        pairs, whole = self.read(title)
        for module, (first, second) in pairs.items():
            weight = weights.get(f"{_name(module, renamed, prefix)}.weight")
            if weight is not None:
                changed += 1
                _refuse_other_shape(title, module, weight, (len(second), first.shape[-1]))
                # In float64, so that it is rounded once, like a merged checkpoint.
                weight.copy_(weight.double() + self.scale * (second.double() @ first.double()))
        for name, trained in whole.items():
            weight = weights.get(_name(name, renamed, prefix))
            if weight is not None:
                changed += 1
                _refuse_other_shape(title, name, weight, tuple(trained.shape))
                weight.copy_(trained)
        if not changed:
            names = ", ".join([*pairs, *whole][:2])
            raise EncoderError(f"{title}: nothing in {WEIGHTS} belongs to {self.base} ({names}); it would change nothing")

    def read(self, title: str) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
        """A and B by the names of their modules, and whole weights by theirs.

        Args:
            title: option and checkpoint, as messages begin.

        Raises:
            EncoderError: a damaged file, or one with parts that are no LoRA.
        """
        try:
            weights = load_file(self.folder / WEIGHTS)
        except (OSError, SafetensorError) as problem:
            raise EncoderError(f"{title}: {WEIGHTS} cannot be read ({problem}); {COPY_AGAIN}, or {MERGE}") from None
        halves: dict[str, dict[str, Tensor]] = {}
        whole: dict[str, Tensor] = {}
        for key, weight in weights.items():
            if match := _KEY.fullmatch(key):
                halves.setdefault(match["module"], {})[match["half"]] = weight
            elif "lora_" in key:
                raise EncoderError(f"{title}: {WEIGHTS} holds {key}, which is no plain LoRA of a linear layer; {MERGE}")
            else:
                whole[key.removeprefix(PREFIX)] = weight
        odd = [name for name, found in halves.items() if len(found) != 2 or {each.ndim for each in found.values()} != {2}]
        if odd:
            raise EncoderError(f"{title}: {WEIGHTS} holds no pair of matrices for {odd[0]}; {COPY_AGAIN}, or {MERGE}")
        return {name: (found["A"], found["B"]) for name, found in halves.items()}, whole


def adapter_in(name: str, option: str) -> Adapter | None:
    """The adapter in a folder; None for a hub id and for a folder with a whole encoder.

    Args:
        name: hub id or folder.
        option: command-line option that names it, for errors.

    Raises:
        EncoderError: a damaged one, or one of another kind than plain LoRA, with how it is merged.
    """
    folder = Path(name)
    if not (folder / CONFIG).is_file():
        return None
    try:
        config: dict[str, Any] = json.loads(read_text_file(folder / CONFIG))
        base, rank, alpha = str(config["base_model_name_or_path"]), int(config["r"]), float(config["lora_alpha"])
        scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    except KeyError as problem:
        kind = "this is no LoRA adapter" if problem.args == ("r",) else f"{problem} is missing"
        raise EncoderError(f"{option} {name}: {CONFIG}: {kind}; {MERGE}") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, ZeroDivisionError) as problem:
        raise EncoderError(f"{option} {name}: {CONFIG} cannot be read ({problem}); {COPY_AGAIN}") from None
    odd = [setting for setting, values in PLAIN.items() if config.get(setting) not in values]
    special = [each for each in config if each.startswith("use_") or each.endswith("_config")]
    if odd := odd + [setting for setting in special if config[setting] and setting not in STARTS]:
        raise EncoderError(f"{option} {name}: {CONFIG} has {odd[0]} = {config[odd[0]]!r}, which mer does not read; {MERGE}")
    beside = folder / base
    return Adapter(
        folder=folder, base=str(beside) if beside.is_dir() else base, revision=config.get("revision") or None, scale=scale
    )


def _refuse_other_shape(title: str, name: str, weight: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(weight.shape) != shape:
        raise EncoderError(
            f"{title}: {WEIGHTS} has {name} for a weight of {shape}, and the encoder's has {tuple(weight.shape)}; they do not "
            "belong together"
        )


def _name(module: str, renamed: Mapping[str, str] | None, prefix: str) -> str:
    """A module of the model that the adapter was trained in, as the encoder alone has it."""
    for pattern, instead in (renamed or {}).items():
        module = re.sub(pattern, instead, module)
    return module.removeprefix(prefix)
