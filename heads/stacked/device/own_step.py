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
    copy: Tensor | None
    """In 16 bits, for products, written when the weight is; None where there is none."""


class OwnStep:
    """The moments of one parameter of all runs, and whether its step has begun."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        """No step has begun: gradients are stored, as PyTorch does.

        Args:
            first: moment, of the parameter's shape.
            second: likewise.
        """
        self._first, self._second = first, second
        self._copy: Tensor | None = None
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

    def copied(self, parameter: Tensor, dtype: torch.dtype) -> Tensor:
        """The parameter as products take it, in half of its bytes; made at the first use, and from then on by whoever moves it.

        Args:
            parameter: whose step this is.
            dtype: of the copy.
        """
        if self._copy is None:
            # A test of a run may be the first to ask, and what it makes is written by the next step of training.
            with torch.inference_mode(mode=False):
                self._copy = parameter.detach().to(dtype)
        return self._copy

    @property
    def copy(self) -> Tensor | None:
        """What products took last of the parameter; None where they took the parameter itself."""
        return self._copy

    def forget_copy(self) -> None:
        """The parameter has other values now: products take those, from their next use on."""
        self._copy = None

    def refresh(self, parameter: Tensor) -> None:
        """The parameter was moved by something that knows of no copy."""
        if self._copy is not None:
            self._copy.copy_(parameter.detach())

    def take(self, weights: Tensor) -> Moves | None:
        """What moves the parameter, for the one kernel that makes its gradient; None where that is to be stored.

        Args:
            weights: the parameter, or a view of it.
        """
        if self._scalars is None or self._uses != 1:
            return None
        self.made = True
        copy = None if self._copy is None else view_like(self._copy, weights)
        return Moves(view_like(self._first, weights), view_like(self._second, weights), self._scalars, copy)


def give_own_step(parameter: Tensor, step: OwnStep) -> None:
    """Let kernels find the step where they find the parameter."""
    parameter.own_step = step  # type: ignore[attr-defined]


def taken(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights as products take them: the copy of a parameter that moves itself, in the dtype that products round it to anyway.

    Args:
        weights: a parameter, a view of one, or a tensor that is computed.
        dtype: of products; where it is that of the weights, or they are computed, they are what is given.
    """
    parameter, step = weights if weights._base is None else weights._base, own_step(weights)
    if step is None or dtype == weights.dtype:
        return weights
    return view_like(step.copied(parameter, dtype), weights)


def view_like(tensor: Tensor, view: Tensor) -> Tensor:
    """The part of a tensor that a view is of another one of the same shape."""
    return torch.as_strided(tensor, view.shape, view.stride(), view.storage_offset())


def own_step(weights: Tensor) -> OwnStep | None:
    """The step of a parameter or of a view of one; None of a tensor that is computed."""
    found: OwnStep | None = getattr(weights if weights._base is None else weights._base, "own_step", None)
    return found
