"""Starts the kernels of the device path, and tells who counts them."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from torch import Tensor

Listener = Callable[[str, float, float], None]
"""Called with the name of a kernel, the bytes that it moves and the FLOPs of its products."""

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
        more_bytes: what is read or written of tensors of which only parts are.
        flops: of matrix products.
        options: constants of the kernel.
    """
    if 0 in grid:
        return
    moved = more_bytes + sum(each.numel() * each.element_size() for each in (*reads, *writes))
    for listener in _LISTENERS:
        listener(kernel.__name__, moved, flops)
    if not writes[0].is_meta:
        kernel[grid](*arguments, **options)
