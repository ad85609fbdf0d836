"""Rows in float16 whose values share an exponent, 128 at a time: what a product in TF32 reads of float32, in half its bytes."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

SHARING = 128
"""Values that share a factor, and columns of a program that makes it."""


class Shared(NamedTuple):
    """`factors[row, column // 128] values[row, column]`, or `values` themselves where there are no factors.

    A factor is a power of two that brings the largest of its values to 2^14 or more, and below 2^15. So nothing overflows, and
    float16 has the eleven bits that TF32 keeps of each value down to 2^-28 of the largest; smaller ones are off by less than
    2^-38 of it.
    """

    values: Float[Tensor, "rows dim"]
    """In float16 where there are factors."""
    factors: Float[Tensor, "rows blocks"] | None = None
    """In float32; None where the values share nothing."""
    flat: Float[Tensor, " halves"] | None = None
    """Values and factors one after the other, for autograd, which knows of one tensor; None where the values share nothing."""

    @property
    def tensors(self) -> list[Tensor]:
        """What there is."""
        return [self.values, *([] if self.factors is None else [self.factors])]

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        """For a kernel, which looks at the second one where there are factors."""
        return self.values, self.values if self.factors is None else self.factors

    @property
    def gradient(self) -> Tensor:
        """For autograd."""
        return self.values if self.flat is None else self.flat


def room(rows: int, dim: int, like: Tensor, dtype: torch.dtype, *, shares: bool) -> Shared:
    """Room for rows.

    Args:
        rows: how many.
        dim: values of each.
        like: a tensor on the device.
        dtype: of values that share nothing.
        shares: they do, in float16.
    """
    if not shares:
        return Shared(torch.empty(rows, dim, dtype=dtype, device=like.device))
    return from_flat(torch.empty(flat_size(rows, dim), dtype=torch.float16, device=like.device), rows, dim)


def flat_size(rows: int, dim: int) -> int:
    """Halves of `Shared.flat`; a factor is as long as two."""
    return rows * dim + rows * dim % 2 + 2 * rows * -(-dim // SHARING)


def from_flat(flat: Float[Tensor, " halves"], rows: int, dim: int) -> Shared:
    """The rows that `Shared.flat` holds."""
    values, factors = flat[: rows * dim].view(rows, dim), flat[rows * dim + rows * dim % 2 :].view(torch.float32)
    return Shared(values, factors.view(rows, -1), flat)


def shared(rows: Tensor | Shared) -> Shared:
    """Rows that may share nothing."""
    return rows if isinstance(rows, Shared) else Shared(rows)


def sharing(rows: Float[Tensor, "rows dim"]) -> Shared:
    """Find factors for some rows by PyTorch's operations, as `linear_kernels.factors_of` does."""
    count, dim = rows.shape
    blocks = torch.nn.functional.pad(rows, (0, -dim % SHARING)).view(count, -1, SHARING)
    most = blocks.abs().amax(2)
    usual = (most > 0) & (most < torch.inf)
    factors = torch.where(usual, most, 1.0).log2().floor().sub(14).clamp(min=-126).exp2()
    factors = torch.where(usual, factors, 1.0)
    values = (blocks / factors[:, :, None]).view(count, -1)[:, :dim].to(torch.float16)
    return Shared(values.contiguous(), factors)


def gradient_of(rows: Tensor, found: Tensor) -> Shared:
    """A gradient as autograd passes it on.

    Args:
        rows: of what.
        found: `Shared.gradient`.
    """
    return from_flat(found.contiguous(), *rows.shape) if found.ndim == 1 else Shared(found.contiguous())
