"""Which device work is done on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class DeviceError(ValueError):
    """A device that is not there, or that has no such name."""


def resolve_device(name: str) -> "torch.device":
    """The device called `cpu`, `cuda` or `cuda:1`; `auto` is the first CUDA device where there is one, else the CPU.

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
    if found.type not in ("cpu", "cuda"):
        raise DeviceError(f"device {name!r}: expected auto, cpu, cuda or cuda:N")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"device {name!r}: this machine shows {torch.cuda.device_count()} CUDA devices; use auto or cpu")
    return found
