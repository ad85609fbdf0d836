"""Random numbers of a training step that depend on the step and on nothing before it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mer.protocol import integer_seed


def seed_forward_pass(seed: int, fold: str, epoch: int, step: int, number: int, what: str) -> None:
    """Set the global generators, for what an encoder may draw beside its dropout and SpecAugment.

    Those two are drawn by utterance. Set anew for each forward pass, the generators leave no state to save: a resumed run
    draws what an uninterrupted one draws, and a pass draws the same on whichever process it runs, and when it runs again.

    Args:
        seed: of the run.
        fold: test session.
        epoch: from 1.
        step: from 0 in the epoch.
        number: of the forward pass in the step, over all processes.
        what: runs in the pass: `audio`, `text` or `both`.
    """
    key = integer_seed(seed, "forward pass", fold, epoch, step, number, what)
    torch.manual_seed(key)
    np.random.seed(key % 2**32)  # noqa: NPY002 - transformers draws SpecAugment's masks from it


@contextmanager
def global_generators_kept() -> Iterator[None]:
    """Leave the global generators of torch and numpy as they were found."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
