"""Rows in float16 whose values share an exponent, 128 at a time: what a product in TF32 reads of float32, in half its bytes."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

SHARING = 128
"""Values that share a factor, and columns of a program that makes it."""


class Shared(NamedTuple):
    """`factors[row, column // 128] values[row, column]`, or `values` themselves where there are no factors.

    Rows that hold several spans, one of each attention head, are that for each span: no two spans share a factor.

    A factor is a power of two that brings the largest of its values to 2^14 or more, and below 2^15. So nothing overflows, and
    float16 has the eleven bits that TF32 keeps of each value down to 2^-28 of the largest; smaller ones are off by less than
    2^-38 of it.
    """

    values: Float[Tensor, "rows dim"]
    """In float16 where there are factors."""
    factors: Float[Tensor, "spans blocks"] | None = None
    """In float32; None where the values share nothing."""
    flat: Float[Tensor, " halves"] | None = None
    """Values and factors one after the other, for autograd, which knows of one tensor; None where the values share nothing."""
    own_span: int | None = None
    """Values of a span; None where a row is one."""

    @property
    def tensors(self) -> list[Tensor]:
        """What there is."""
        return [self.values, *([] if self.factors is None else [self.factors])]

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        """For a kernel, which looks at the second one where there are factors."""
        return self.values, self.values if self.factors is None else self.factors

    @property
    def shares(self) -> bool:
        """Whether there are factors."""
        return self.factors is not None

    @property
    def span(self) -> int:
        """Values that are one after the other in blocks of 128."""
        return self.own_span or self.values.shape[1]

    @property
    def gradient(self) -> Tensor:
        """For autograd."""
        return self.values if self.flat is None else self.flat

    def as_rows(self, rows: int) -> "Shared":
        """The same values in fewer rows, of several spans each, or in more."""
        return self._replace(values=self.values.view(rows, -1), own_span=self.span)


def room(rows: int, dim: int, like: Tensor, dtype: torch.dtype, *, shares: bool, span: int | None = None) -> Shared:
    """Room for rows.

    Args:
        rows: how many.
        dim: values of each.
        like: a tensor on the device.
        dtype: of values that share nothing.
        shares: they do, in float16.
        span: values of a span; None where a row is one.
    """
    if not shares:
        return Shared(torch.empty(rows, dim, dtype=dtype, device=like.device), own_span=span)
    spans = rows * dim // (span or dim)
    flat = torch.empty(flat_size(spans, span or dim), dtype=torch.float16, device=like.device)
    return from_flat(flat, spans, span or dim).as_rows(rows)


def flat_size(rows: int, dim: int) -> int:
    """Halves of `Shared.flat`; a factor is as long as two."""
    return rows * dim + rows * dim % 2 + 2 * rows * -(-dim // SHARING)


def from_flat(flat: Float[Tensor, " halves"], rows: int, dim: int) -> Shared:
    """The rows that `Shared.flat` holds."""
    values, factors = flat[: rows * dim].view(rows, dim), flat[rows * dim + rows * dim % 2 :].view(torch.float32)
    return Shared(values, factors.view(rows, -1), flat)


class Kept(NamedTuple):
    """How rows that a function of autograd keeps for its backward pass are found again in the one tensor that it keeps."""

    rows: int
    """How many."""
    dim: int
    """Values of each."""
    span: int
    """Values of a span."""
    shares: bool
    """Whether there are factors."""

    def found(self, tensor: Tensor) -> Shared:
        """The rows whose `Shared.gradient` it is."""
        if not self.shares:
            return Shared(tensor, own_span=self.span)
        return from_flat(tensor, self.rows * self.dim // self.span, self.span).as_rows(self.rows)


def kept(rows: Shared) -> Kept:
    """What `Kept.found` needs to know."""
    count, dim = rows.values.shape
    return Kept(count, dim, rows.span, rows.shares)


def shared(rows: Tensor | Shared) -> Shared:
    """Rows that may share nothing."""
    return rows if isinstance(rows, Shared) else Shared(rows)


def gradient_of(rows: Tensor, found: Tensor) -> Shared:
    """A gradient as autograd passes it on.

    Args:
        rows: of what.
        found: `Shared.gradient`.
    """
    return from_flat(found.contiguous(), *rows.shape) if found.ndim == 1 else Shared(found.contiguous())
