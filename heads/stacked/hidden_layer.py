"""A hidden layer of many runs: linear, ReLU and dropout, in one kernel where there are kernels."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from mer.heads.stacked.device.draws import Draws
from mer.heads.stacked.device.layer_average import LayerSums
from mer.heads.stacked.device.linear import After, stacked_linear
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.dropout import Generators, dropped_of, grouped_relu_dropout
from mer.heads.stacked.grouped import grouped_linear


def hidden_layer(
    values: Float[Tensor, "rows inputs"] | LayerSums,
    weights: Sequence[Float[Tensor, "*runs outputs inputs"]],
    biases: Sequence[Float[Tensor, "*runs outputs"]],
    probability: float,
    generators: Generators,
    sizes: Sequence[int],
) -> Float[Tensor, "rows outputs"]:
    """`dropout(relu(W_r x + b_r))` for the rows of each run r.

    Args:
        values: rows of run 0, then of run 1, and so on; or the sums whose normalisation they are, which then are never stored
            for the backward pass.
        weights: see `grouped_linear`.
        biases: see `grouped_linear`.
        probability: of dropout, in [0, 1).
        generators: draw it; None evaluates without.
        sizes: rows per run; 0 is allowed.
    """
    if isinstance(sizes, RunRows) and sizes.path.kernels:
        draws = generators if isinstance(generators, Draws) and dropped_of(probability) else None
        after = After(relu=True, dropped=dropped_of(probability), draws=draws)
        if isinstance(values, LayerSums):
            return values.linear(weights[0], biases[0], after)
        return stacked_linear(values, weights[0], biases[0], sizes, after)
    plain = values.normalized() if isinstance(values, LayerSums) else values
    return grouped_relu_dropout(grouped_linear(plain, weights, biases, sizes), probability, generators, sizes)
