"""Writes identities.json: identities and fingerprints of many configs, so that later code names the same runs.

Made once with the code before options were declared in one place; run it again only when numbers are meant to change.
"""

import json
from pathlib import Path
from typing import Any

from mer.finetune.config import FinetuneConfig
from mer.heads.config import HeadConfig

HEAD_CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    {"fusion": "linear", "modality": "text", "granularities": ()},
    {"fusion": "transformer", "modality": "speech", "granularities": ("F",), "attention_layers": 2},
    {"fusion": "coattention", "granularities": ("P", "F"), "attention_heads": 4, "feed_forward_ratio": 2, "hidden": 64},
    {"fusion": "concatenation", "granularities": ("S", "W"), "layers": (12, 9), "layer_weights": "softmax"},
    {"seeds": (0, 2, 5), "folds": ("1", "3"), "dropout": 0.5, "learning_rate": 0.01, "batch": 8},
    {"validation": "session", "validation_share": 0.2, "text_disjoint": True, "classes": "6", "normalize": "speaker"},
    {"device": "cpu", "ram_gib": 1.0, "device_memory_gib": 2.0, "stack": 3, "max_epochs": 7, "patience": 2},
)
FINETUNE_CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    {"modality": "speech", "speech_model": "a/b", "speech_revision": "main", "spec_augment": True},
    {"modality": "text", "text_model": "c/d", "text_tags": "keep"},
    {"fusion": "fc", "aux": "1+2", "aux_weights": (1.0, 0.5), "dropout": 0.3},
    {"fusion_layers": 5, "attention_heads": 4, "validation": "none", "epochs": 3, "encoder_rate": 1e-5},
    {"validation": "session", "epoch_selection": "last", "seeds": (1, 4), "folds": ("2",), "classes": "as-is"},
    {"device": "cpu", "keep": 2, "workers": 0, "track": "tensorboard", "batch_seconds": 9.0, "checkpoint_minutes": 0.0},
    {"precision": "float32", "checkpointing": True, "train_cnn": True, "clip": 0.0, "warmup": 0.0, "weight_decay": 0.0},
)


def identities() -> dict[str, list[dict[str, Any]]]:
    """What each config is called by, in the order of the lists above."""
    # 60 s was the default then; today the device decides, and no identity has it.
    defaults: dict[str, Any] = {"batch_seconds": 60.0}
    made: dict[str, list[HeadConfig] | list[FinetuneConfig]] = {
        "head": [HeadConfig(**given) for given in HEAD_CONFIGS],
        "finetune": [FinetuneConfig(**defaults | given) for given in FINETUNE_CONFIGS],
    }
    return {
        kind: [{"identity": each.identity(), "as_dict": each.as_dict(), "fingerprint": each.fingerprint()} for each in configs]
        for kind, configs in made.items()
    }


if __name__ == "__main__":
    path = Path(__file__).with_name("identities.json")
    path.write_text(json.dumps(identities(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
