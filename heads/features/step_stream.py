"""Units of the steps to come, brought to a device while another step is computed there."""

import threading
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from mer.heads.features.step import Step


class StepStream:
    """What steps want of features that are not on the device: gathered in pinned memory, copied on a stream of its own.

    Another thread may gather while this one copies. What is never taken is forgotten with its step.
    """

    def __init__(self, device: torch.device) -> None:
        """Nothing is gathered yet; without a GPU a copy is a plain copy."""
        self._device = device
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._gathered: WeakKeyDictionary[Step, Tensor] = WeakKeyDictionary()
        self._copied: WeakKeyDictionary[Step, tuple[Tensor, Any]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def gather(self, step: Step, views: Sequence[Tensor]) -> None:
        """Copy the units of a step to pinned memory, one utterance after the other.

        Args:
            step: the step.
            views: units of each of its utterances.
        """
        first = views[0]
        # PyTorch gives a pinned block away again only after the copies from it have ended.
        units = torch.empty(
            sum(len(view) for view in views), *first.shape[1:], dtype=first.dtype, pin_memory=self._copies is not None
        )
        torch.cat(list(views), out=units)
        with self._lock:
            self._gathered[step] = units

    def start(self, step: Step) -> None:
        """Begin to copy what was gathered; the host does not wait."""
        with self._lock:
            units = self._gathered.pop(step, None)
        if units is not None:
            self._copied[step] = self._copy(units)

    def take(self, step: Step, gather: Callable[[], Sequence[Tensor]]) -> Tensor:
        """The units on the device, for what is computed next there.

        Args:
            step: the step.
            gather: the units of its utterances, for a step that nobody has gathered.
        """
        self.start(step)
        if step not in self._copied:
            self.gather(step, gather())
            self.start(step)
        units, event = self._copied.pop(step)
        if event is not None:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_event(event)
            units.record_stream(computing)
        return units

    def _copy(self, units: Tensor) -> tuple[Tensor, Any]:
        if self._copies is None:
            return units.to(self._device), None
        with torch.cuda.stream(self._copies):
            on_device = units.to(self._device, non_blocking=True)
            return on_device, self._copies.record_event()
