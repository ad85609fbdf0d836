"""How inputs come to a device and activations back: one thing after the other, or beside what the device computes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Host = list[Shaped[Tensor, "..."]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """What a device that computes by itself has in hand at the same time."""

    decoders: int = 4
    """Threads that read and prepare utterances."""
    decoded: int = 3
    """Batches whose audio is read, or being read, and that the device has not been given yet."""
    batches: int = 2
    """Batches that the device has been given and whose activations are not back yet: one that runs, one that waits behind it."""
    shards: int = 2
    """Shards whose activations are in the host's memory: one that comes to be, one that is written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """Activations on their way to the host."""

    wait: Callable[[], Host]
    """Returns them when they are there; to be called once."""
    computing: Callable[[], float]
    """Seconds for which the device computed them; known after `wait`."""
    copying: Callable[[], float]
    """Seconds for which they were copied; known after `wait`."""


@runtime_checkable
class DevicePath(Protocol):
    """The way of tensors between host and device: all that the pipeline knows of a device, so that a test can stand in for it."""

    overlap: Overlap | None
    """None: everything is done in turn, by the thread that asks for it."""

    def host_zeros(self, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
        """Memory of the host that `to_device` may read while the device computes."""
        ...

    def to_device(self, values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The same values on the device, without waiting for what it computes."""
        ...

    def back(self, compute: Callable[[], Sequence[Shaped[Tensor, "..."]]]) -> Arrival:
        """Have something computed, and what it gives copied to the host.

        Args:
            compute: gives the device its work, and returns tensors on it.
        """
        ...


class PlainPath:
    """One thing after the other: a CPU, or a GPU that is waited for."""

    overlap: Overlap | None = None

    def __init__(self, device: torch.device) -> None:
        """`device`: where models are."""
        self._device = device

    def host_zeros(self, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
        """Plain memory."""
        return torch.zeros(rows, columns)

    def to_device(self, values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """A copy that is waited for; on a CPU the values themselves."""
        return values.to(self._device)

    def back(self, compute: Callable[[], Sequence[Shaped[Tensor, "..."]]]) -> Arrival:
        """Computed at once, copied at once; on a CPU there is nothing to copy."""
        begun = time.perf_counter()
        found = compute()
        computed = time.perf_counter()
        host = [each.cpu() for each in found]
        copied = time.perf_counter()
        return Arrival(wait=lambda: host, computing=lambda: computed - begun, copying=lambda: copied - computed)


def path_to(device: torch.device) -> DevicePath:
    """The path to a device that is there: that of a GPU overlaps, that of a CPU does not."""
    if device.type == "cuda":
        from mer.extract.cuda_path import CudaPath

        return CudaPath(device)  # pyright: ignore[reportReturnType] - it knows this module under two names
    return PlainPath(device)
