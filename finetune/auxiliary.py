"""The two auxiliary tasks of Sun 2023, section 2.4: which audio is read with which text, and what is to be predicted."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from mer.finetune.batch import Pairing
from mer.finetune.config import FinetuneConfig
from mer.finetune.losses import Sums
from mer.finetune.sampler import StepPlan


def draw_pairing(labels: Int64[Tensor, " utterances"] | NDArray[np.int64], rng: np.random.Generator) -> Pairing:
    """Recombine the audio and the text of all utterances of a step for both auxiliary tasks.

    Task 1 gives the audio of every utterance the text that a uniform permutation says, its own now and then (section
    2.4.1, "randomly scramble and recombine"). Task 2 replaces either the audio or the text of every utterance, by the toss
    of a coin, with that of another one of the same class, all of them equally likely (section 2.4.2).

    Args:
        labels: class numbers of the step's utterances, on the CPU.
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


def draw_step_pairing(plan: StepPlan, labels: Sequence[int], rng: np.random.Generator) -> Pairing:
    """The pairing of a step, by the places of its utterances; which rows are paired does not depend on the cut.

    Args:
        plan: the step.
        labels: class number of each row of the corpus.
        rng: every draw comes from here.
    """
    place = {row: number for number, row in enumerate(plan.placed)}
    drawn = draw_pairing(np.array([labels[row] for row in plan.rows], dtype=np.int64), rng)
    return drawn.renumbered([place[row] for row in plan.rows])


def pair_counts(pairing: Pairing | None, labels: Int64[Tensor, " utterances"], config: FinetuneConfig) -> Sums:
    """How many items each task has in a step, and what task 1's pairs are; no losses.

    Args:
        pairing: of the step; None without auxiliary tasks.
        labels: class numbers of the step's utterances, on the CPU.
        config: which tasks there are.
    """
    if pairing is None:
        return Sums(utterances=len(labels))
    partner = pairing.permutation
    return Sums(
        utterances=len(labels),
        pairs=len(pairing.audio) if "2" in config.aux else 0,
        unchanged=int((partner == torch.arange(len(labels))).sum()),
        same_class=int((labels[partner] == labels).sum()),
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
