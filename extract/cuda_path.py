"""The path to a CUDA device: pinned memory, and a stream for each direction beside the one that computes."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mer.extract.device_path import Arrival, Host, Overlap


class CudaPath:
    """Copies to and from a GPU run on streams of their own, while it computes on its usual one."""

    overlap: Overlap | None = Overlap()

    def __init__(self, device: torch.device) -> None:
        """`device`: a CUDA device."""
        self._device = device
        self._up, self._down = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def host_zeros(self, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
        """Pinned memory: the GPU copies from it by itself."""
        return torch.zeros(rows, columns, pin_memory=True)

    def to_device(self, values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """A copy that what is computed next waits for, and nothing else."""
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._up):
            there = values.to(self._device, non_blocking=True)
        computing.wait_stream(self._up)
        # Its memory is not given to the next copy before what is computed from it has run.
        there.record_stream(computing)
        return there

    def back(self, compute: Callable[[], Sequence[Shaped[Tensor, "..."]]]) -> Arrival:
        """Kernels are launched now and run later; the copies follow them, beside the kernels of the next batch."""
        computing = torch.cuda.current_stream(self._device)
        marks = [torch.cuda.Event(enable_timing=True, blocking=True) for _ in range(4)]
        marks[0].record(computing)
        held = list(compute())
        marks[1].record(computing)
        host = _pinned_like(held)
        self._down.wait_event(marks[1])
        with torch.cuda.stream(self._down):
            marks[2].record(self._down)
            for target, values in zip(host, held, strict=True):
                target.copy_(values, non_blocking=True)
            marks[3].record(self._down)

        def wait() -> Host:
            marks[3].synchronize()
            held.clear()  # until here, so that their memory is not given to the next batch while it is copied
            return host

        return Arrival(
            wait=wait,
            computing=lambda: marks[0].elapsed_time(marks[1]) / 1000,
            copying=lambda: marks[2].elapsed_time(marks[3]) / 1000,
        )


def _pinned_like(found: Sequence[Shaped[Tensor, "..."]]) -> Host:
    """Pinned memory for tensors of one type, in one piece: pinning is slow, and pieces are kept for the next batch."""
    if not found:
        return []
    whole = torch.empty(sum(each.numel() for each in found), dtype=found[0].dtype, pin_memory=True)
    parts = whole.split([each.numel() for each in found])
    return [part.view(each.shape) for part, each in zip(parts, found, strict=True)]
