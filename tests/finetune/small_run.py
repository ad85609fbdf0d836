"""A run of seconds for the tests of this folder, and the same as a program, for tests that kill it or start it twice.

python small_run.py ENCODERS RUN [SETTING=JSON ...]
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from mer.corpus import Utterance
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.events import Event, StepDone
from mer.finetune.model import FinetuneModel
from mer.finetune.processes import make_accelerator
from mer.finetune.trainable import load_encoders
from mer.finetune.trained import Trained
from mer.finetune.trainer import train_run
from mer.heads.progress import ignore
from mer.protocol import Fold

TEXTS = ("i am so happy that you came", "leave me alone", "we lost it all", "the bus leaves at noon")
UTTERANCES = 22
SETTINGS = {"batch": 5, "batch_seconds": 1.0, "epochs": 2, "aux": "1+2", "device": "cpu", "checkpoint_minutes": 0.0}
TARGETS = np.arange(UTTERANCES, dtype=np.int64) % 4
"""Classes of the utterances."""
FOLD = Fold(test_session="5", train=np.arange(14), validation=np.arange(14, 18), test=np.arange(18, 22))


def utterances(folder: Path) -> list[Utterance]:
    """Noise of a tenth to half a second; the files are written when they are not there."""
    found = []
    for row in range(UTTERANCES):
        random = np.random.default_rng(row)
        path = folder / f"{row}.wav"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, random.normal(0.0, 0.1, int(random.integers(1_600, 8_000))).astype(np.float32), 16_000)
        found.append(
            Utterance(id=f"u{row}", wav=path, text=TEXTS[row % 3], label="neu", speaker=f"s{row % 3}", session=str(row % 2 + 1))
        )
    return found


def train(
    config: FinetuneConfig,
    corpus: Path,
    run: Path,
    listener: Callable[[Event], None] = ignore,
    prepare: Callable[[FinetuneModel], None] = lambda model: None,
) -> tuple[Trained, FinetuneModel]:
    """What `run.py` does for one fold and seed."""
    encoders = load_encoders(config)
    model = FinetuneModel(config, encoders, 4, seed_generator=torch.Generator().manual_seed(7))
    prepare(model)
    accelerator = make_accelerator(config)
    return train_run(model, encoders, utterances(corpus), TARGETS, FOLD, config, 3, run, accelerator, listener), model


def main(arguments: list[str]) -> None:
    """Train, and print the logits of the test; `die` kills one process after a step of it."""
    speech, text, corpus, run = (Path(each) for each in arguments[:4])
    settings: dict[str, Any] = dict(SETTINGS) | {
        name: json.loads(value) for name, value in (each.split("=") for each in arguments[4:])
    }
    die = settings.pop("die", None)
    config = FinetuneConfig(speech_model=str(speech), text_model=str(text), **settings)
    if die is not None and os.environ.get("RANK") == str(die):
        _die_in_second_step(run / "checkpoints" / "step-000001")
    try:
        trained, _ = train(config, corpus, run)
    except FinetuneError as problem:
        sys.exit(f"error: {problem}")
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(trained.logits.tolist()))


def _die_in_second_step(first: Path) -> None:
    """As soon as the checkpoint of the first step is there."""
    from mer.finetune.step import Stepper

    take = Stepper.take

    def dying(self: Stepper, epoch: int, plan: Any, batches: Any) -> Any:
        if plan.step == 1:
            while not first.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return take(self, epoch, plan, batches)

    Stepper.take = dying  # type: ignore[method-assign]


def stop_after(step: int) -> Callable[[Event], None]:
    """A listener that interrupts a run after so many steps of this command."""
    seen = 0

    def listen(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, StepDone)
        if isinstance(event, StepDone) and seen == step:
            raise KeyboardInterrupt

    return listen


if __name__ == "__main__":
    main(sys.argv[1:])
