"""The two auxiliary tasks of Sun 2023, section 2.4: which audio is read with which text, and what is to be predicted."""

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from mer.finetune.batch import Pairing


def draw_pairing(labels: Int64[Tensor, " utterances"] | NDArray[np.int64], rng: np.random.Generator) -> Pairing:
    """Recombine the audio and the text of a batch for both auxiliary tasks.

    Task 1 gives the audio of every utterance the text that a uniform permutation says, its own now and then (section
    2.4.1, "randomly scramble and recombine"). Task 2 replaces either the audio or the text of every utterance, by the toss
    of a coin, with that of another one of the same class, all of them equally likely (section 2.4.2).

    Args:
        labels: class numbers of the batch, on the CPU.
        rng: every draw comes from here.
    """
    classes = np.asarray(labels)
    permutation = rng.permutation(len(classes))
    audio, text = [], []
    for utterance, label in enumerate(classes):
        others = np.flatnonzero(classes == label)
        others = others[others != utterance]
        if len(others):
            partner = int(rng.choice(others))
            replaces_audio = bool(rng.integers(2))
            audio.append(partner if replaces_audio else utterance)
            text.append(utterance if replaces_audio else partner)
    return Pairing(
        permutation=torch.from_numpy(permutation).long(),
        audio=torch.tensor(audio, dtype=torch.int64),
        text=torch.tensor(text, dtype=torch.int64),
        lonely=len(classes) - len(audio),
    )


def pair_classes(
    labels: Int64[Tensor, " utterances"], permutation: Int64[Tensor, " utterances"], classes: int
) -> Int64[Tensor, " utterances"]:
    """Task 1's class of each pair: C * class of the audio + class of the text, one of C * C.

    Args:
        labels: class numbers of the batch.
        permutation: text `permutation[i]` goes with audio i.
        classes: C.
    """
    return classes * labels + labels[permutation]
