"""Steps that are taken and whose losses are still on the device: who reads one waits until all before it is computed."""

import math
import time
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor

from mer.finetune.losses import Sums

READ_SECONDS = 1.0
"""How long losses may stay on the device: a line of progress is told as often."""
READ_STEPS = 8
"""The same in steps where several processes must stop at the same one, should a loss be no number."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StepFound:
    """What a step has found, over all processes."""

    values: Float64[Tensor, " 4"]
    """Losses summed over items (emotion, task 1, task 2), and the norm of the gradients before clipping; on the device."""
    counts: Sums
    """The items, without losses."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StepRead:
    """A step whose numbers are here."""

    step: int
    """From 1 in the epoch."""
    sums: Sums
    """Losses and items."""
    norm: float
    """Norm of the gradients, before clipping."""
    factor: float
    """What the step sizes were multiplied with."""
    audio_seconds: float
    """Unpadded audio of the step."""


class WaitingSteps:
    """The last steps, in their order, until they are read together."""

    def __init__(self, *, every: int | None) -> None:
        """Nothing waits.

        Args:
            every: steps that are read together; None: those of `READ_SECONDS`.
        """
        self._every = every
        self._steps: list[tuple[StepFound, StepRead]] = []
        self._last = -math.inf

    def __len__(self) -> int:
        """Steps that wait."""
        return len(self._steps)

    def add(self, step: int, found: StepFound, factor: float, audio_seconds: float) -> None:
        """A step is taken."""
        known = StepRead(step=step, sums=found.counts, norm=0.0, factor=factor, audio_seconds=audio_seconds)
        self._steps.append((found, known))

    @property
    def due(self) -> bool:
        """Whether it is time to read."""
        if self._every is not None:
            return len(self._steps) >= self._every
        return time.monotonic() - self._last >= READ_SECONDS

    def read(self) -> list[StepRead]:
        """All of them, by one copy from the device."""
        if not self._steps:
            return []
        values = torch.stack([found.values for found, _ in self._steps]).tolist()
        read = [
            replace(known, sums=known.sums + Sums(main=main, aux1=aux1, aux2=aux2), norm=norm)
            for (_, known), (main, aux1, aux2, norm) in zip(self._steps, values, strict=True)
        ]
        self._steps, self._last = [], time.monotonic()
        return read
