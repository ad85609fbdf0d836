"""Which way a stack is computed on a device, as a value that is passed."""

from dataclasses import dataclass

import torch

from mer.heads.errors import HeadError
from mer.heads.stacked.device.launch import interpreted, kernels_installed


@dataclass(frozen=True, kw_only=True)
class DevicePath:
    """How the runs of a stack are computed together, see `mer.heads.stacked.device`."""

    kernels: bool
    """Triton's kernels; else PyTorch's operations, run after run."""
    precision: str = "float32"
    """The precision of products: `float32`, `tf32` or `bfloat16`. Weights, sums, losses and Adam are float32 always."""

    @property
    def dot(self) -> str:
        """How the kernels multiply. Triton's interpreter cannot multiply bfloat16: there values are only rounded to it."""
        half = "rounded" if interpreted() else "bfloat16"
        return {"float32": "ieee", "tf32": "tf32", "bfloat16": half}[self.precision]

    @property
    def hidden(self) -> torch.dtype:
        """What values between two products are kept in."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    @property
    def normal(self) -> torch.dtype:
        """What units of mean 0 and variance 1 are kept in before their product.

        A product in TF32 rounds them to the eleven bits of float16 itself, and their range fits: nothing is lost.
        """
        return {"float32": torch.float32, "tf32": torch.float16, "bfloat16": torch.bfloat16}[self.precision]

    @property
    def shares(self) -> bool:
        """Whether values of any size that only a product in TF32, or a normalisation, takes are kept as `Shared`."""
        return self.precision == "tf32"

    def products(self, *, together: bool) -> str:
        """The precision that products have in the end.

        Args:
            together: the head has a form for all runs at once; others are computed by PyTorch's operations, in float32.
        """
        return self.precision if together and (self.kernels or self.precision == "bfloat16") else "float32"

    def sentence(self, *, together: bool) -> str:
        """For the start of a training; `together` as for `products`."""
        how = "Triton kernels"
        if not self.kernels:
            how = "PyTorch operations run after run, as Triton is not installed"
        elif not together:
            how = "PyTorch operations run after run, as the head has no form for all runs at once"
        return f"products in {self.products(together=together)}, {how}"


def default_path(device: torch.device, precision: str | None) -> DevicePath | None:
    """The path for a device: None on a CPU, whose compiled loops are a path of their own.

    Args:
        device: where runs are trained.
        precision: of products; None takes TF32, whose rounding is far below what another seed changes.

    Raises:
        HeadError: a precision that a CPU does not have.
    """
    if device.type == "cpu":
        if precision not in (None, "float32"):
            raise HeadError(
                f"precision {precision!r} needs a GPU, and this is a CPU: use --device cuda, or leave --precision out"
            )
        return None
    return DevicePath(kernels=kernels_installed(), precision=precision or "tf32")
