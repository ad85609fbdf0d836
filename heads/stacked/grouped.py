"""Layers of many runs over one tensor: rows of a run follow one another, each run has its own parameters.

Runs that train together differ in their weights only. Their units lie packed one run after the other, so that
whatever has no parameters (ReLU, softmax, normalisation, means) is one call for all of them, nothing is padded, and
one run alone is the same code with a single group.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from mer.heads.stacked.device.linear import stacked_linear
from mer.heads.stacked.device.run_rows import RunRows


def grouped_linear(
    values: Float[Tensor, "rows inputs"],
    weights: Sequence[Float[Tensor, "*runs _ _"]],
    biases: Sequence[Float[Tensor, "*runs outputs"]],
    sizes: Sequence[int],
) -> Float[Tensor, "rows outputs"]:
    """`W_r x + b_r` for the rows of each run r.

    Args:
        values: rows of run 0, then of run 1, and so on.
        weights: one per run; with `RunRows` one tensor of all runs.
        biases: likewise.
        sizes: rows per run; 0 is allowed.
    """
    if isinstance(sizes, RunRows):
        if sizes.path.kernels:
            return stacked_linear(values, weights[0], biases[0], sizes)
        weights, biases = weights[0].unbind(), biases[0].unbind()
        if sizes.path.precision == "bfloat16":
            weights, biases = [each.bfloat16() for each in weights], [each.bfloat16() for each in biases]
            return grouped_linear(values.bfloat16(), weights, biases, sizes.sizes).to(values.dtype)
        sizes = sizes.sizes
    if len(sizes) == 1:
        return F.linear(values, weights[0], biases[0])
    out: Tensor = _GroupedLinear.apply(values, tuple(sizes), *weights, *biases)  # type: ignore[no-untyped-call]
    return out


def grouped_layer_norm(
    values: Float[Tensor, "rows dim"],
    gains: Sequence[Float[Tensor, "*runs dim"]],
    biases: Sequence[Float[Tensor, "*runs dim"]],
    sizes: Sequence[int],
) -> Float[Tensor, "rows dim"]:
    """Layer normalisation with each run's own gain and bias.

    Args:
        values: rows of run 0, then of run 1, and so on.
        gains: one per run; with `RunRows` one tensor of all runs.
        biases: likewise.
        sizes: rows per run; 0 is allowed.
    """
    gains, biases, sizes = _of_each_run(gains, biases, sizes)
    shape = (values.shape[1],)
    parts = torch.split(values, list(sizes)) if len(sizes) > 1 else (values,)
    normed = [F.layer_norm(part, shape, gain, bias) for part, gain, bias in zip(parts, gains, biases, strict=True)]
    return normed[0] if len(normed) == 1 else torch.cat(normed)


def grouped_affine(
    values: Float[Tensor, "rows dim"],
    gains: Sequence[Float[Tensor, "*runs dim"]],
    biases: Sequence[Float[Tensor, "*runs dim"]],
    sizes: Sequence[int],
) -> Float[Tensor, "rows dim"]:
    """`gain_r * x + bias_r` for the rows of each run r; arguments as for `grouped_layer_norm`."""
    gains, biases, sizes = _of_each_run(gains, biases, sizes)
    parts = torch.split(values, list(sizes)) if len(sizes) > 1 else (values,)
    scaled = [torch.addcmul(bias, part, gain) for part, gain, bias in zip(parts, gains, biases, strict=True)]
    return scaled[0] if len(scaled) == 1 else torch.cat(scaled)


def _of_each_run(
    gains: Sequence[Tensor], biases: Sequence[Tensor], sizes: Sequence[int]
) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[int]]:
    return (gains[0].unbind(), biases[0].unbind(), sizes.sizes) if isinstance(sizes, RunRows) else (gains, biases, sizes)


def bounds(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """First row of each run and the row after its last."""
    return list(pairwise(accumulate(sizes, initial=0)))


class _GroupedLinear(torch.autograd.Function):
    """One product per run into one output; gradients for values, weights and biases."""

    @staticmethod
    def forward(values: Tensor, sizes: tuple[int, ...], *parameters: Tensor) -> Tensor:
        weights, biases = parameters[: len(sizes)], parameters[len(sizes) :]
        out = values.new_empty(values.shape[0], weights[0].shape[0])
        for (start, end), weight, bias in zip(bounds(sizes), weights, biases, strict=True):
            torch.addmm(bias, values[start:end], weight.T, out=out[start:end])
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        values, sizes, *parameters = inputs
        ctx.sizes = sizes
        ctx.save_for_backward(values, *parameters[: len(sizes)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        values, *weights = ctx.saved_tensors
        of_values = torch.empty_like(values) if ctx.needs_input_grad[0] else None
        of_weights, of_biases = [], []
        for (start, end), weight in zip(bounds(ctx.sizes), weights, strict=True):
            part = gradient[start:end]
            if of_values is not None:
                torch.mm(part, weight, out=of_values[start:end])
            of_weights.append(part.T @ values[start:end])
            of_biases.append(part.sum(0))
        return of_values, None, *of_weights, *of_biases
