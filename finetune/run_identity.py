"""What decides the numbers of a run of fine-tuning: a checkpoint of another one is not gone on from."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from mer.corpus import Utterance
from mer.finetune.config import TRAINING, FinetuneConfig
from mer.finetune.model import FinetuneModel
from mer.finetune.trainable import TrainableEncoders
from mer.protocol import Fold


def run_identity(
    model: FinetuneModel,
    encoders: TrainableEncoders,
    utterances: Sequence[Utterance],
    targets: Int64[np.ndarray, " utterances"],
    fold: Fold,
    config: FinetuneConfig,
    seed: int,
) -> dict[str, Any]:
    """Everything that decides the numbers of a run, as JSON values."""
    members = [
        [name, [[utterances[row].id, int(targets[row])] for row in part.tolist()]]
        for name, part in (("train", fold.train), ("validation", fold.validation), ("test", fold.test))
    ]
    elsewhere = ("seeds", "folds", "speech_model", "text_model", "speech_revision", "text_revision")
    return {
        "training": TRAINING,
        "config": {name: value for name, value in config.identity().items() if name not in elsewhere},
        "fold": fold.test_session,
        "seed": seed,
        "classes": model.classes,
        "encoders": encoders.identity,
        "utterances": hashlib.sha256(json.dumps(members).encode()).hexdigest(),
    }
