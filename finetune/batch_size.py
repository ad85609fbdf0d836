"""How much padded audio one forward pass holds: measured with two small passes on the device, from the memory that it has."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from accelerate import Accelerator

from mer.finetune.auxiliary import draw_pairing
from mer.finetune.collate import BatchReader
from mer.finetune.config import FinetuneConfig
from mer.finetune.model import FinetuneModel

SHARE = 0.85
"""Share of a GPU's memory that is planned with: passes differ in the lengths of their texts, and memory is kept in pieces."""
MOMENTS = 8
"""Bytes of AdamW's two moments for each weight; they come with the first step, after the measurement."""


@runtime_checkable
class MemoryMeter(Protocol):
    """Looks at the memory of one device."""

    room: int
    """Bytes that this process may hold in all."""

    def peak(self, run: Callable[[], None]) -> int:
        """Most bytes in use while something runs, what was in use before included."""
        ...


class GpuMeter:
    """The memory of a GPU that PyTorch allocates from."""

    def __init__(self, device: torch.device) -> None:
        """Room is what is free and what this process has reserved."""
        self._device = device
        free, _ = torch.cuda.mem_get_info(device)
        self.room = int(SHARE * (free + torch.cuda.memory_reserved(device)))

    def peak(self, run: Callable[[], None]) -> int:
        """Most bytes allocated."""
        torch.cuda.reset_peak_memory_stats(self._device)
        run()
        return torch.cuda.max_memory_allocated(self._device)


def meter_of(device: torch.device) -> MemoryMeter | None:
    """What looks at a device's memory; None for a CPU, where `FinetuneConfig.pass_seconds` holds."""
    return GpuMeter(device) if device.type == "cuda" else None


def fitting_seconds(
    model: FinetuneModel,
    reader: BatchReader,
    rows: Sequence[int],
    config: FinetuneConfig,
    accelerator: Accelerator,
    meter: MemoryMeter,
) -> float:
    """Padded seconds of the largest pass that fits.

    Memory is a constant (weights, gradients, moments) and so much for each utterance of the longest length there is, which
    costs the most for a second: attention grows with the square. Two passes, of two and of four such utterances, tell both.

    Args:
        model: on its device; gradients are forgotten.
        reader: of batches.
        rows: that will be trained on.
        config: tasks and precision.
        accelerator: of this process.
        meter: of the device.
    """
    longest = max(rows, key=lambda row: reader.padded[row])
    passes = [partial(_one_pass, model, reader, [longest] * count, config, accelerator) for count in (2, 4)]
    peaks = [meter.peak(each) for each in passes]
    each = max(1, (peaks[1] - peaks[0]) // 2)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    constant = peaks[0] - 2 * each + MOMENTS * trained
    return max(1, (meter.room - constant) // each) * reader.padded[longest]


def _one_pass(
    model: FinetuneModel, reader: BatchReader, rows: Sequence[int], config: FinetuneConfig, accelerator: Accelerator
) -> None:
    """Forward and backward of a step that is one pass, with all its tasks; the weights stay as they are."""
    batch = replace(reader.read(rows).to(accelerator.device), seeds=tuple(range(len(rows))))
    labels = np.zeros(len(rows), dtype=np.int64)
    pairing = None if config.aux == "none" else draw_pairing(labels, np.random.default_rng(0))
    model.train()
    with accelerator.autocast():
        loss = model(batch, pairing).loss
    accelerator.backward(loss)
    model.zero_grad(set_to_none=True)
