"""Starts the kernels of the device path, and tells who counts them."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Launch:
    """What a kernel that is about to start says of itself."""

    name: str
    """The name of the kernel."""
    reads: Sequence[Tensor]
    """Tensors that are read as a whole; what a program reads again comes from the cache."""
    writes: Sequence[Tensor]
    """Tensors that are written as a whole."""
    more_bytes: float
    """What is read of tensors of which only parts are."""
    flops: float
    """Multiplications and additions of its matrix products."""

    @property
    def bytes(self) -> float:
        """What it moves."""
        return self.more_bytes + sum(each.numel() * each.element_size() for each in (*self.reads, *self.writes))


Listener = Callable[[Launch], None]
"""Called before a kernel starts."""

_LISTENERS: list[Listener] = []


def kernels_installed() -> bool:
    """Whether Triton, in which the kernels are written, can be imported."""
    return find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton runs kernels in its interpreter, on a CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` of every launch."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


def launch(
    kernel: Any,
    grid: tuple[int, ...],
    *arguments: Any,
    reads: Sequence[Tensor],
    writes: Sequence[Tensor],
    more_bytes: float = 0,
    flops: float = 0,
    **options: Any,
) -> None:
    """Start a kernel; tensors without values (`meta`) are only counted.

    Args:
        kernel: a function of `triton.jit`.
        grid: programs along each axis; nothing starts where one is 0.
        arguments: of the kernel.
        reads: tensors that are read once as a whole.
        writes: tensors that are written once as a whole.
        more_bytes: what is read of tensors of which only parts are.
        flops: of matrix products.
        options: constants of the kernel.
    """
    if 0 in grid:
        return
    told = Launch(name=kernel.__name__, reads=reads, writes=writes, more_bytes=more_bytes, flops=flops)
    for listener in _LISTENERS:
        listener(told)
    if not writes[0].is_meta:
        kernel[grid](*arguments, **options)
