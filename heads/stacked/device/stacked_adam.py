"""Adam for a stack: one call for all runs, each of which has made its own number of steps."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.own_step import DECAYS, EPSILON, OwnStep, give_own_step
from mer.heads.stacked.device.run_rows import tables_to_device

SIZE = 1024
"""Values of a program."""


class StackedAdam:
    """Moments of parameters whose first axis is the run, of the runs that are in the stack now."""

    def __init__(
        self, parameters: Sequence[Float[Tensor, "runs ..."]], moments: Sequence[tuple[Tensor, Tensor]], path: DevicePath
    ) -> None:
        """Nothing is moved.

        Args:
            parameters: leaves, of which each step takes the gradient.
            moments: first and second of each, of the same shape.
            path: how it is computed.
        """
        self._parameters, self._moments, self._path = list(parameters), list(moments), path
        self._own = [OwnStep(*pair) for pair in self._moments]
        if path.kernels:
            for each, step in zip(self._parameters, self._own, strict=True):
                give_own_step(each, step)
        self._scalars: Tensor | None = None
        self._tables: dict[tuple[int, ...], Tensor] = {}

    def forget_copies(self) -> None:
        """Somebody else has given parameters other values."""
        for each in self._own:
            each.forget_copy()

    @property
    def copies(self) -> list[Tensor | None]:
        """What products took last of each parameter, see `OwnStep`."""
        return [each.copy for each in self._own]

    def begin(self, rate: float, steps: Int64[np.ndarray, " runs"], takes_part: Sequence[bool]) -> None:
        """Before the forward pass: kernels that make the gradient of a weight may move it, see `OwnStep`.

        Args:
            rate: step size.
            steps: how many each run has made with this one.
            takes_part: whether a run has rows in this step; else nothing of it moves.
        """
        scalars = np.stack([rate / (1 - DECAYS[0] ** steps), (1 - DECAYS[1] ** steps) ** -0.5], 1)
        scalars[~np.asarray(takes_part)] = 0
        (bits,) = tables_to_device([scalars.astype(np.float32).view(np.int32)], self._parameters[0].device)
        self._scalars = bits.view(torch.float32)
        for each in self._own:
            each.begin(self._scalars)

    def step(self) -> None:
        """After the backward pass: move, of every run that takes part, what is not moved yet, and forget the gradients.

        Raises:
            RuntimeError: there is no step, or a parameter that its kernel has moved was used by something else, too.
        """
        if self._scalars is None:
            raise RuntimeError("no step has begun")
        if any(step.made and each.grad is not None for each, step in zip(self._parameters, self._own, strict=True)):
            raise RuntimeError("a parameter that has been moved has another gradient")
        left = [number for number, step in enumerate(self._own) if not step.made]
        chosen = [self._parameters[number] for number in left]
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad.contiguous() for each in chosen]
        moved = [(each.detach(), g, *self._moments[n]) for each, g, n in zip(chosen, gradients, left, strict=True)]
        if self._path.kernels:
            self._launch(moved, self._scalars, tuple(left))
        else:
            self._plain(moved, self._scalars)
        for number in left:
            self._own[number].refresh(self._parameters[number])
        for each, own in zip(self._parameters, self._own, strict=True):
            each.grad = None
            own.begin(None)
        self._scalars = None

    def _launch(
        self, sets: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]], scalars: Float[Tensor, "runs two"], chosen: tuple[int, ...]
    ) -> None:
        from mer.heads.stacked.device.adam_kernel import adam

        rows = [[*(0 if each.is_meta else each.data_ptr() for each in tensors), tensors[0][0].numel()] for tensors in sets]
        (words,) = tables_to_device([np.array(rows, dtype=np.int64).view(np.int32)], scalars.device)
        written = [tensor for weights, _, first, second in sets for tensor in (weights, first, second)]
        tiles = self._tiles(chosen)
        addresses = words.view(torch.int64)
        launch(
            adam, (len(tiles),), addresses, tiles, scalars, len(scalars), *DECAYS, EPSILON,
            reads=[*written, *(each[1] for each in sets), addresses, tiles, scalars], writes=written, SIZE=SIZE,
        )  # fmt: skip

    def _tiles(self, chosen: tuple[int, ...]) -> Int32[Tensor, "tiles three"]:
        """Parameter, run and first value of each program; the same parameters are chosen at every step."""
        if chosen not in self._tables:
            runs, tables = len(self._parameters[0]), []
            for number, each in enumerate(self._parameters[place] for place in chosen):
                starts = np.arange(0, each[0].numel(), SIZE)
                run, start = np.meshgrid(np.arange(runs), starts, indexing="ij")
                tables.append(np.stack([np.full(run.size, number), run.ravel(), start.ravel()], 1))
            self._tables[chosen] = tables_to_device([np.concatenate(tables)], self._parameters[0].device)[0]
        return self._tables[chosen]

    def _plain(self, sets: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]], scalars: Float[Tensor, "runs two"]) -> None:
        for each, gradient, first, second in sets:
            shape = (-1, *[1] * (each.ndim - 1))
            rate, root = (scalars[:, column].view(shape) for column in range(2))
            part = (rate > 0).to(each.dtype)
            first.add_((gradient - first) * ((1 - DECAYS[0]) * part))
            second.add_((gradient * gradient - second) * ((1 - DECAYS[1]) * part))
            each.sub_(rate * first / (second.sqrt() * root + EPSILON))
