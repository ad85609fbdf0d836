"""Weights that the kernel of their gradient moves itself: the gradient is never stored, nor read again."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

DECAYS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's, PyTorch's defaults, which Zhao 2022 does not change."""


class Moves(NamedTuple):
    """What moves a weight, laid out as the weight is."""

    first: Tensor
    """First moment."""
    second: Tensor
    """Second moment."""
    scalars: Float[Tensor, "runs two"]
    """Step size over 1 - beta1^t, and 1 / sqrt(1 - beta2^t), of each run; zeros where a run has no rows."""


class OwnStep:
    """The moments of one parameter of all runs, and whether its step has begun."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        """No step has begun: gradients are stored, as PyTorch does.

        Args:
            first: moment, of the parameter's shape.
            second: likewise.
        """
        self._first, self._second = first, second
        self._scalars: Tensor | None = None
        self._uses = 0
        self.made = False
        """Whether the parameter has been moved since the step began."""

    def begin(self, scalars: Float[Tensor, "runs two"] | None) -> None:
        """A step begins; None: gradients are stored again."""
        self._scalars, self._uses, self.made = scalars, 0, False

    def note_use(self) -> None:
        """A product with a gradient takes the parameter. What is used twice owes the sum of two gradients, which are stored."""
        self._uses += 1

    def take(self, weights: Tensor) -> Moves | None:
        """What moves the parameter, for the one kernel that makes its gradient; None where that is to be stored.

        Args:
            weights: the parameter, or a view of it.
        """
        if self._scalars is None or self._uses != 1:
            return None
        self.made = True
        where = weights.shape, weights.stride(), weights.storage_offset()
        return Moves(torch.as_strided(self._first, *where), torch.as_strided(self._second, *where), self._scalars)


def give_own_step(parameter: Tensor, step: OwnStep) -> None:
    """Let kernels find the step where they find the parameter."""
    parameter.own_step = step  # type: ignore[attr-defined]


def own_step(weights: Tensor) -> OwnStep | None:
    """The step of a parameter or of a view of one; None of a tensor that is computed."""
    found: OwnStep | None = getattr(weights if weights._base is None else weights._base, "own_step", None)
    return found
