"""One branch of the late fusion: two layers per unit, a mean over units, and a layer that makes logits."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.fusion.head import StackedUnits, SummedUnits
from mer.heads.stacked.dropout import Generators
from mer.heads.stacked.grouped import grouped_linear
from mer.heads.stacked.hidden_layer import hidden_layer
from mer.heads.stacked.layer_average import LayerAverage


class LinearBranch(nn.Module):
    r"""Parameters of one branch of one run (Zhao 2022, section 2.2).

    h = ReLU(W1 u + b1), l = ReLU(W2 h + b2) for every unit u of eq. 1, the mean of l over the units of an
    utterance (eq. 2), and W3 l + b3, the branch's summand in eq. 3. Dropout follows each of the first two
    layers.
    """

    def __init__(self, *, dim: int, hidden: int, classes: int, dropout: float, generator: torch.Generator) -> None:
        """Make the parameters, for units of `dim` values; the rest as for `Head`."""
        super().__init__()
        self.dropout = dropout
        self.w1, self.b1 = uniform_linear(hidden, dim, generator)
        self.w2, self.b2 = uniform_linear(hidden, hidden, generator)
        self.w3, self.b3 = uniform_linear(classes, hidden, generator)


def hidden_units(
    branches: Sequence[LinearBranch],
    averages: Sequence[LayerAverage],
    units: StackedUnits,
    generators: Generators,
) -> Float[Tensor, "units hidden"]:
    """L of every unit, for several runs.

    LN's gain g and bias c are folded into the first layer, W1 (g * x + c) + b1 = (W1 g) x + (W1 c + b1): the
    same sum without another pass over the units, forward and backward.

    Args:
        branches: one per run.
        averages: the runs' layer averages, whose gain and bias belong to LN.
        units: normalised units of all runs.
        generators: draw each run's dropout; None evaluates without.
    """
    pairs = list(zip(branches, averages, strict=True))
    first = [branch.w1 * average.gain[..., None, :] for branch, average in pairs]
    biases = [branch.b1 + _times(branch.w1, average.bias) for branch, average in pairs]
    sizes, dropout = units.sizes, branches[0].dropout
    values = units.sums if isinstance(units, SummedUnits) else units.values
    hidden = hidden_layer(values, first, biases, dropout, generators, sizes)
    seconds = [each.w2 for each in branches], [each.b2 for each in branches]
    return hidden_layer(hidden, *seconds, dropout, generators, sizes)


def branch_logits(
    branches: Sequence[LinearBranch], pooled: Float[Tensor, "utterances hidden"], utterances: Sequence[int]
) -> Float[Tensor, "utterances classes"]:
    """`W3 l + b3` of the pooled units of several runs."""
    return grouped_linear(pooled, [each.w3 for each in branches], [each.b3 for each in branches], utterances)


def _times(weight: Float[Tensor, "*runs outputs inputs"], vector: Float[Tensor, "*runs inputs"]) -> Tensor:
    return weight @ vector if vector.ndim == 1 else torch.bmm(weight, vector[..., None])[..., 0]


def uniform_linear(outputs: int, inputs: int, generator: torch.Generator) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight and bias from U(-1/sqrt(inputs), 1/sqrt(inputs)), the default of `torch.nn.Linear`."""
    bound = 1 / math.sqrt(inputs)
    weight = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
    return nn.Parameter(weight), nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))
