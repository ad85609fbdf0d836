"""One branch of the late fusion: two layers per unit, a mean over units, and a layer that makes logits."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.layer_average import LayerAverage
from mer.heads.packed_batch import PackedBatch, segment_mean
from mer.heads.statistics import Statistics


class LinearBranch(nn.Module):
    r"""Logits of one granularity (Zhao 2022, section 2.2).

    h = ReLU(W1 u + b1), l = ReLU(W2 h + b2) for every unit u of eq. 1, the mean of l over the units of an
    utterance (eq. 2), and W3 l + b3, the branch's summand in eq. 3. Dropout follows each of the first two
    layers.
    """

    def __init__(self, *, layers: int, dim: int, hidden: int, classes: int, dropout: float, generator: torch.Generator) -> None:
        """Make the parameters.

        Args:
            layers: stored encoder layers.
            dim: values per layer.
            hidden: width of both hidden layers.
            classes: number of logits.
            dropout: probability of zeroing a hidden value while training.
            generator: draws the initial weights; the global generator is never used.
        """
        super().__init__()
        self.dropout = dropout
        self.average = LayerAverage(layers=layers, dim=dim)
        self.w1, self.b1 = _uniform(hidden, dim, generator)
        self.w2, self.b2 = _uniform(hidden, hidden, generator)
        self.w3, self.b3 = _uniform(classes, hidden, generator)

    def forward(
        self, batch: PackedBatch, statistics: Statistics | None, generator: torch.Generator | None
    ) -> Float[Tensor, "utterances classes"]:
        """Logits per utterance.

        Args:
            batch: stored activations of the branch's granularity.
            statistics: see `LayerAverage.forward`.
            generator: draws the dropout; None evaluates without.
        """
        units = self.average(batch, statistics)
        hidden = drop(F.relu(F.linear(units, self.w1, self.b1)), self.dropout, generator)
        hidden = drop(F.relu(F.linear(hidden, self.w2, self.b2)), self.dropout, generator)
        return F.linear(segment_mean(hidden, batch.lengths), self.w3, self.b3)


def drop(values: Tensor, probability: float, generator: torch.Generator | None) -> Tensor:
    """Dropout from an explicit generator: zero with `probability`, else divided by 1 - `probability`.

    Sixteen random bits decide each value, several times faster on a CPU than `Tensor.bernoulli_`; the
    probability is therefore rounded to a multiple of 2^-16, in the division too.

    Args:
        values: any shape.
        probability: in [0, 1).
        generator: on the device of `values`; None returns `values` unchanged.
    """
    dropped = min(round(probability * 2**16), 2**16 - 1)
    if generator is None or dropped == 0:
        return values
    words = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device=values.device)
    words.random_(-(2**63), None, generator=generator)  # all 64 bits; the default leaves the sign bit at zero
    bits = words.view(torch.int16)[: values.numel()].view(values.shape)
    keep = (bits >= dropped - 2**15).to(values.dtype)
    return values * keep.mul_(2**16 / (2**16 - dropped))


def _uniform(outputs: int, inputs: int, generator: torch.Generator) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight and bias from U(-1/sqrt(inputs), 1/sqrt(inputs)), the default of `torch.nn.Linear`."""
    bound = 1 / math.sqrt(inputs)
    weight = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
    return nn.Parameter(weight), nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))
