"""Dropout of many runs over one tensor, alone or after a ReLU."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.stacked.device.draws import Draws, kept
from mer.heads.stacked.dropout_kernel import drop, pass_back, relu_and_drop

Generators = Sequence[torch.Generator] | Draws | None
"""What draws each run's dropout: a generator per run, on the device path the draws of a step; None evaluates without."""


def grouped_dropout(
    values: Float[Tensor, "rows dim"],
    probability: float,
    generators: "Generators",
    sizes: Sequence[int],
) -> Float[Tensor, "rows dim"]:
    """Dropout whose draws depend on a run's own generator only: zero with `probability`, else divided by the rest.

    Sixteen random bits decide each value, several times faster on a CPU than `Tensor.bernoulli_`; the
    probability is therefore rounded to a multiple of 2^-16, in the division too.

    Args:
        values: rows of run 0, then of run 1, and so on.
        probability: in [0, 1).
        generators: one per run, on the device of `values`; None returns `values` unchanged.
        sizes: rows per run; 0 is allowed.
    """
    dropped = dropped_of(probability)
    if generators is None or dropped == 0:
        return values
    if isinstance(generators, Draws):
        keep = kept(generators, generators.next(), sizes, values.shape[1], dropped).to(values.dtype)
        return values * keep.mul_(_scale(dropped))
    bits = _random_bits(values, generators, sizes)
    if _compiles(values):
        out: Tensor = _Dropout.apply(values, bits, dropped)  # type: ignore[no-untyped-call]
        return out
    keep = (bits.view(values.shape) >= dropped - 2**15).to(values.dtype)
    return values * keep.mul_(_scale(dropped))


def grouped_relu_dropout(
    values: Float[Tensor, "rows dim"],
    probability: float,
    generators: "Generators",
    sizes: Sequence[int],
) -> Float[Tensor, "rows dim"]:
    """ReLU, in place, and `grouped_dropout`; nothing but the output is kept for the backward pass on a CPU."""
    dropped = dropped_of(probability)
    if generators is None or dropped == 0 or not _compiles(values) or isinstance(generators, Draws):
        return grouped_dropout(values.relu_(), probability, generators, sizes)
    bits = _random_bits(values, generators, sizes)
    out: Tensor = _ReluDropout.apply(values, bits, dropped)  # type: ignore[no-untyped-call]
    return out


def dropped_of(probability: float) -> int:
    """How many of the 2^16 numbers that sixteen bits can be mean zero."""
    return min(round(probability * 2**16), 2**16 - 1)


def _scale(dropped: int) -> float:
    return 2**16 / (2**16 - dropped)


def _compiles(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype == torch.float32 and values.is_contiguous()


def _random_bits(values: Tensor, generators: Sequence[torch.Generator], sizes: Sequence[int]) -> Tensor:
    """A random 16-bit integer per value, each run's from its own generator."""
    dim = values.shape[1]
    # Four to a word; each run begins a new word.
    starts = np.cumsum([0, *(-(-size * dim // 4) for size in sizes)])
    words = torch.empty(int(starts[-1]), dtype=torch.int64, device=values.device)
    for run, generator in enumerate(generators):
        # All 64 bits; the default leaves the sign bit at zero.
        words[starts[run] : starts[run + 1]].random_(-(2**63), None, generator=generator)
    bits = words.view(torch.int16)
    if len(sizes) == 1:
        return bits[: sizes[0] * dim]
    return torch.cat([bits[4 * start :][: size * dim] for start, size in zip(starts[:-1], sizes, strict=True)])


class _Dropout(torch.autograd.Function):
    """`drop`, whose gradient is `drop` of what comes back."""

    @staticmethod
    def forward(values: Tensor, bits: Tensor, dropped: int) -> Tensor:
        return _drop(values, bits, dropped)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        _, bits, ctx.dropped = inputs
        ctx.save_for_backward(bits)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (bits,) = ctx.saved_tensors
        return _drop(gradients[0].contiguous(), bits, ctx.dropped), None, None


class _ReluDropout(torch.autograd.Function):
    """`relu_and_drop`, in place; what came out says where a gradient goes back."""

    @staticmethod
    def forward(values: Tensor, bits: Tensor, dropped: int) -> Tensor:
        relu_and_drop(values.detach().view(-1).numpy(), bits.numpy(), dropped - 2**15, np.float32(_scale(dropped)))
        return values

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        ctx.mark_dirty(inputs[0])
        ctx.scale = np.float32(_scale(inputs[2]))
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (out,) = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_values = torch.empty_like(gradient)
        pass_back(gradient.view(-1).numpy(), out.detach().view(-1).numpy(), ctx.scale, of_values.view(-1).numpy())
        return of_values, None, None


def _drop(values: Tensor, bits: Tensor, dropped: int) -> Tensor:
    out = torch.empty_like(values)
    drop(values.detach().view(-1).numpy(), bits.numpy(), dropped - 2**15, np.float32(_scale(dropped)), out.view(-1).numpy())
    return out
