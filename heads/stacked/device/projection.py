"""A linear layer of a stack within a function of autograd that finds all gradients itself: nothing passes through autograd."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.stacked.device.linear import NOTHING, multiply, noted_step, of_inputs, of_parameters
from mer.heads.stacked.device.normed import Affine
from mer.heads.stacked.device.own_step import OwnStep
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.device.shared import Shared


class AttentionWeights(NamedTuple):
    """Parameters of all runs that lead to `gain_r LN(u + a) + bias_r`; see `fusion.attention.AttentionLayer` for their names."""

    wq: Float[Tensor, "runs dim dim"]
    """Makes queries."""
    bq: Float[Tensor, "runs dim"]
    """Is added to them."""
    wk: Float[Tensor, "runs dim dim"]
    """Makes keys."""
    wv: Float[Tensor, "runs dim dim"]
    """Makes values."""
    bv: Float[Tensor, "runs dim"]
    """Is added to them."""
    wo: Float[Tensor, "runs dim dim"]
    """Makes what a unit gets."""
    bo: Float[Tensor, "runs dim"]
    """Is added to it."""
    gain: Float[Tensor, "runs dim"]
    """What the normalised rows are multiplied by."""
    bias: Float[Tensor, "runs dim"]
    """Is added to them."""


WEIGHTS = len(AttentionWeights._fields)
FIRST_WEIGHT = 6
"""Place of the first weight among the arguments of a function of two sides, each of which is three of them."""


class Projection:
    """Weights, or a view of them for each attention head, and what their product and its gradients are."""

    def __init__(self, parameter: Tensor, weights: Tensor, biases: Tensor, rows: RunRows, *, wanted: bool) -> None:
        """Nothing is computed; a use of the parameter is noted.

        Args:
            parameter: weights as autograd knows them.
            weights: `parameter`, or a view of all of it; see `stacked_linear`.
            biases: see `stacked_linear`.
            rows: of each run.
            wanted: the gradients of weights will be asked for.
        """
        self._parameter, self._weights, self._biases, self._rows = parameter, weights, biases, rows
        self._step: OwnStep | None = noted_step(weights, wanted=wanted)

    def __call__(self, values: Tensor | Shared, affine: Affine = None, *, shares: bool | None = None) -> Shared:
        """The product of rows, which shares factors where the path does.

        Args:
            values: the rows.
            affine: their gain and bias.
            shares: whether it does; None asks the path.
        """
        asked = self._rows.path.shares if shares is None else shares
        return multiply(values, self._weights, self._biases, self._rows, NOTHING, affine=affine, shares=asked)

    def of_inputs(
        self,
        gradient: Tensor | Shared,
        more: Shared | None = None,
        *,
        dtype: torch.dtype | None = None,
        shares: bool | None = None,
    ) -> Shared:
        """The gradient of the rows; before `of_parameters`, which may move the weights.

        Args:
            gradient: of the product.
            more: is added.
            dtype: of what shares nothing; None: as layers give it.
            shares: see `__call__`.
        """
        asked = self._rows.path.shares if shares is None else shares
        return of_inputs(gradient, self._weights, dtype or self._rows.dtype, self._rows, more=more, shares=asked)

    def of_parameters(
        self, gradient: Tensor | Shared, values: Tensor | Shared, affine: Affine = None
    ) -> tuple[Tensor | None, Float[Tensor, "runs *heads outputs"]]:
        """The gradients of the parameter, None where its kernel moves it, and of the biases.

        Args:
            gradient: of the product.
            values: the rows.
            affine: their gain and bias.
        """
        found, of_biases = of_parameters(gradient, values, self._weights, self._rows, affine=affine, step=self._step)
        if found is not None:
            # It is laid out as the weights are, of which the parameter is the plain order.
            found = torch.as_strided(found, self._parameter.shape, self._parameter.stride())
        return found, of_biases
