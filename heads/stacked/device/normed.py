"""Rows of mean 0 and variance 1, kept as they are: gain and bias are given to them by whoever reads them."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.stacked.device.shared import flat_size

Affine = tuple[Float[Tensor, "runs dim"], Float[Tensor, "runs dim"]] | None
"""Gain and bias of each run that a kernel gives to the rows that it reads; None where the rows are what is wanted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Normed:
    """`gain_r x + bias_r` for the rows x of each run r, of which only x is stored.

    No value of x is larger than the root of its row's length, so that float16 holds it, whatever the gain. A normalisation's
    backward pass needs x, too, and nothing else of its input.
    """

    values: Float[Tensor, "rows dim"]
    """x, in the precision in which a product takes it; no gradient flows to it."""
    link: Tensor
    """Stands for `gain_r x + bias_r` in autograd, which passes its gradient on through this; takes no memory.

    With one axis it is for `Shared.flat`. Such gradients cannot be added up: that link is for one use only.
    """
    gains: Float[Tensor, "runs dim"]
    """What the rows of each run are multiplied by."""
    biases: Float[Tensor, "runs dim"]
    """What is added to the rows of each run."""

    @property
    def affine(self) -> Affine:
        """Gain and bias, for kernels."""
        return self.gains, self.biases

    def through(self, link: Tensor) -> "Normed":
        """The same for its next use: what that owes is added while the gradient of this use is made."""
        return dataclasses.replace(self, link=link)


Rows = Float[Tensor, "rows dim"] | Normed
"""What a layer takes."""


def normed(made: tuple[Tensor, Tensor], gains: Tensor, biases: Tensor) -> Normed:
    """From what the function of a normalisation gave: x and its link."""
    return Normed(values=made[0], link=made[1], gains=gains.detach().contiguous(), biases=biases.detach().contiguous())


def parts_of(rows: Rows, *, flat: bool = False) -> tuple[Tensor, Tensor, Affine]:
    """What autograd follows, what is stored, and what kernels make of it.

    Args:
        rows: of every run.
        flat: their reader gives a gradient as `Shared.flat` where the link is for one.

    Raises:
        TypeError: a link for shared gradients, and a reader that gives plain ones, or a second reader.
    """
    if isinstance(rows, Normed):
        if rows.link.ndim == 1:
            if not flat or hasattr(rows.link, "was_read"):
                raise TypeError("a link for gradients that share exponents is for one reader that gives such gradients")
            rows.link.was_read = True  # type: ignore[attr-defined]
        return rows.link, rows.values, rows.affine
    rows = rows.contiguous()
    return rows, rows.detach(), None


def link_like(values: Tensor, dtype: torch.dtype, *, shares: bool = False) -> Tensor:
    """A tensor for the gradient of some rows, without memory of its own.

    Args:
        values: the rows.
        dtype: of the gradient.
        shares: it is `Shared.flat`.
    """
    if shares:
        return torch.empty(1, dtype=torch.float16, device=values.device).expand(flat_size(*values.shape))
    return torch.empty(1, dtype=dtype, device=values.device).expand(values.shape)
