"""Adam for a stack: one call for all runs, each of which has made its own number of steps."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.run_rows import tables_to_device

DECAYS, EPSILON = (0.9, 0.999), 1e-8
"""PyTorch's defaults, which Zhao 2022 does not change."""
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

    def step(self, rate: float, steps: Int64[np.ndarray, " runs"], takes_part: Sequence[bool]) -> None:
        """Move every run that takes part, and forget the gradients.

        Args:
            rate: step size.
            steps: how many each run has made with this one.
            takes_part: whether a run has rows in this step; else nothing of it moves.
        """
        scalars = np.stack([rate / (1 - DECAYS[0] ** steps), (1 - DECAYS[1] ** steps) ** -0.5], 1)
        scalars[~np.asarray(takes_part)] = 0
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad.contiguous() for each in self._parameters]
        (bits,) = tables_to_device([scalars.astype(np.float32).view(np.int32)], self._parameters[0].device)
        on_device = bits.view(torch.float32)
        if self._path.kernels:
            self._launch(gradients, on_device)
        else:
            self._plain(gradients, on_device)
        for each in self._parameters:
            each.grad = None

    def _launch(self, gradients: Sequence[Tensor], scalars: Tensor) -> None:
        from mer.heads.stacked.device.adam_kernel import adam

        sets = [(each.detach(), g, *m) for each, g, m in zip(self._parameters, gradients, self._moments, strict=True)]
        rows = [[*(0 if each.is_meta else each.data_ptr() for each in tensors), tensors[0][0].numel()] for tensors in sets]
        (words,) = tables_to_device([np.array(rows, dtype=np.int64).view(np.int32)], scalars.device)
        written = [tensor for weights, _, first, second in sets for tensor in (weights, first, second)]
        launch(
            adam, (len(self._tiles),), words.view(torch.int64), self._tiles, scalars, len(scalars), *DECAYS, EPSILON,
            reads=[*written, *gradients, self._tiles], writes=written, SIZE=SIZE,
        )  # fmt: skip

    @cached_property
    def _tiles(self) -> Tensor:
        """Parameter, run and first value of each program."""
        runs, tables = len(self._parameters[0]), []
        for number, each in enumerate(self._parameters):
            starts = np.arange(0, each[0].numel(), SIZE)
            run, start = np.meshgrid(np.arange(runs), starts, indexing="ij")
            tables.append(np.stack([np.full(run.size, number), run.ravel(), start.ravel()], 1))
        return tables_to_device([np.concatenate(tables)], self._parameters[0].device)[0]

    def _plain(self, gradients: Sequence[Tensor], scalars: Float[Tensor, "runs two"]) -> None:
        for each, gradient, (first, second) in zip(self._parameters, gradients, self._moments, strict=True):
            shape = (-1, *[1] * (each.ndim - 1))
            rate, root = (scalars[:, column].view(shape) for column in range(2))
            part = (rate > 0).to(each.dtype)
            first.add_((gradient - first) * ((1 - DECAYS[0]) * part))
            second.add_((gradient * gradient - second) * ((1 - DECAYS[1]) * part))
            each.detach().sub_(rate * first / (second.sqrt() * root + EPSILON))
