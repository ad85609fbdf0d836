"""Whether an encoder's utterances come out of a padded batch as if they were alone: tried once, when it is loaded.

An encoder that mixes along the sequence without a mask (FNet, the convolutions of ConvBERT and MobileBERT, the landmarks
of Nystromformer) gives an utterance other numbers for every batch that it is in. Its config does not say so.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mer.extract.precision import exact_float32
from mer.extract.pretrained import EncoderError

ROUNDING_STEPS = 512
"""Relative distance (L2) up to which a layer counts as the same, in steps `eps` of its dtype. Rounding makes 2 to 20 of
them in float32; what FNet and its like make of neighbours is a hundred times as much as is allowed, and more."""

ONE_BY_ONE = "one by one"
"""In a cache's identity and provenance: how utterances go through an encoder that failed the trial."""

PADDED = "in padded batches"
"""In the provenance: how they go through all others."""

Layers = Float[Tensor, "units layers dim"]


def trial_dtype(dtype: torch.dtype) -> torch.dtype:
    """Precision of the trial: that of the forward pass, but float32 at least, since bfloat16 is too coarse to tell."""
    return dtype if dtype == torch.float64 else torch.float32


def batches_are_exact(name: str, alone: Callable[[int], Layers], together: Callable[[], Sequence[Layers]]) -> bool:
    """Whether two inputs of different length come out of a padded batch as if they were alone, to rounding.

    Costs four short forward passes, draws nothing from a global generator, and says the same on every machine.

    Args:
        name: option and checkpoint, for the error.
        alone: the layers of input 0 or 1.
        together: the layers of both, out of one batch, without the padding.

    Raises:
        EncoderError: the same input gives other numbers the second time.
    """
    # Not inference mode: what an encoder keeps for later passes must be fit for training. transformers 5.0 draws a number
    # for every layer, in evaluation too, where it is of no consequence.
    with exact_float32(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        expected = [alone(0), alone(1)]
        if not _same(alone(0), expected[0]):
            raise EncoderError(
                f"{name}: gives the same input other numbers the second time (it draws at random), so nothing of it can be "
                "cached or compared; use another encoder"
            )
        return all(_same(found, wanted) for found, wanted in zip(together(), expected, strict=True))


def one_by_one_notice(name: str) -> str:
    """What is told of an encoder that failed the trial.

    Args:
        name: option and checkpoint.
    """
    return (
        f"{name}: in a padded batch, its numbers for an utterance depend on the others (tried with two, alone and together); "
        "each goes through it alone: exact, and slower"
    )


def _same(found: Layers, expected: Layers) -> bool:
    found, expected = found.cpu(), expected.cpu()
    distance = (found.double() - expected.double()).norm(dim=(0, 2))
    allowed = ROUNDING_STEPS * torch.finfo(expected.dtype).eps * expected.double().norm(dim=(0, 2))
    return bool((distance <= allowed).all())
