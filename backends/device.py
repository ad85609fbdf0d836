"""Which device work is done on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class DeviceError(ValueError):
    """A device that is not there, or that has no such name."""


def resolve_device(name: str) -> "torch.device":
    """The device called `cpu`, `cuda`, `cuda:1` or `mps`; `auto` is the first CUDA device where there is one, else the CPU.

    Raises:
        DeviceError: it is not there.
    """
    import torch  # late: most of what waits for workers never needs it

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
    except RuntimeError:
        found = torch.device("meta")
    if found.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"device {name!r}: expected auto, cpu, cuda, cuda:N or mps")
    if found.type == "mps" and (found.index or not torch.backends.mps.is_available()):
        raise DeviceError(f"device {name!r}: PyTorch finds no such Apple GPU on this machine; use auto or cpu")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"device {name!r}: this machine shows {torch.cuda.device_count()} CUDA devices; use auto or cpu")
    return found


def training_device(name: str) -> "torch.device":
    """The same, for training, which a GPU of Apple cannot do: gradients and sums need float64 and kernels that it lacks.

    Raises:
        DeviceError: it is not there, or is no device for training.
    """
    found = resolve_device(name)
    if found.type == "mps":
        raise DeviceError(f"device {name!r}: for mer extract and mer predict only; what is trained needs auto, cpu or cuda")
    return found


def device_of_the_rest(device: "torch.device") -> "torch.device":
    """Where to compute what a GPU of Apple lacks, float64 and some operations: the CPU beside it; any other device itself."""
    import torch

    return torch.device("cpu") if device.type == "mps" else device
