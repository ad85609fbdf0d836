"""The process group of a training, its precision, and what is said when a part of it is gone."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn

from mer.backends.device import training_device
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError

TIMEOUT_SECONDS = 600
"""How long processes wait for one that is alive and silent, such as one that writes a checkpoint to a slow disk."""

BUCKET = 8_000_000
"""Gradients that are sent together."""

LOST = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe", "process group")
"""Words, in lower case, of the errors that a collective operation ends with when another process is gone."""


def make_accelerator(config: FinetuneConfig) -> Accelerator:
    """The accelerator of this process: one device alone, or one of those that a launcher started.

    Under `accelerate launch` or `torchrun` every process takes the device of its rank.

    Raises:
        DeviceError: a device that is not there.
    """
    device = training_device(config.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="bf16" if resolve_precision(config, device) == "bfloat16" else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=TIMEOUT_SECONDS))],
    )


def resolve_precision(config: FinetuneConfig, device: torch.device) -> str:
    """`bfloat16` or `float32`: `auto` is bfloat16 on a GPU that computes in it."""
    if config.precision != "auto":
        return config.precision
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if on_gpu else "float32"


def sum_over_processes(accelerator: Accelerator, values: Tensor) -> Tensor:
    """The sum of a tensor of one shape over all processes, in every process."""
    found: Any = accelerator.reduce(values, reduction="sum")
    total: Tensor = found
    return total


def take_weights_of_the_first(accelerator: Accelerator, model: nn.Module) -> None:
    """Give every process the first one's weights, whatever each has read."""
    if accelerator.num_processes > 1:
        for value in itertools.chain(model.parameters(), model.buffers()):
            torch.distributed.broadcast(value.data, 0)


class GradientSum:
    """Sums gradients over all processes, while more of them are still being computed."""

    def __init__(self, accelerator: Accelerator) -> None:
        """Nothing is under way."""
        self._alone = accelerator.num_processes == 1
        self._under_way: list[tuple[Any, Tensor, list[nn.Parameter]]] = []

    def start(self, parameters: Iterable[nn.Parameter]) -> None:
        """Begin with parameters whose gradients are complete here; every process gives the same ones in the same order.

        A parameter without a gradient here has a part of 0: another process may have had the items that it takes part in.
        """
        if self._alone:
            return
        for bucket in _buckets(parameter for parameter in parameters if parameter.requires_grad):
            parts = [(each.grad if each.grad is not None else torch.zeros_like(each)).flatten() for each in bucket]
            flat = torch.cat(parts)
            self._under_way.append((torch.distributed.all_reduce(flat, async_op=True), flat, bucket))

    def finish(self) -> None:
        """Wait for all sums, and leave them as the parameters' gradients."""
        for work, flat, bucket in self._under_way:
            work.wait()
            sums = flat.split([each.numel() for each in bucket])
            for parameter, found in zip(bucket, sums, strict=True):
                parameter.grad = found.view_as(parameter)
        self._under_way = []


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Parameters of one type, `BUCKET` values or the last ones together."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if bucket and (sum(each.numel() for each in bucket) >= BUCKET or bucket[0].dtype != parameter.dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


@contextmanager
def explained(where: "Position", accelerator: Accelerator, config: FinetuneConfig) -> Iterator[None]:
    """Turn what a device or another process does to a training into a FinetuneError that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as problem:
        if is_out_of_memory(problem):
            raise FinetuneError(
                f"{where}: out of memory on {accelerator.device} in a forward pass of {where.pass_size} "
                f"({_first_line(problem)}); use a smaller --batch-seconds (now {where.pass_seconds or config.pass_seconds:g})"
                + ("" if config.checkpointing else ", or --gradient-checkpointing, which keeps no activations")
            ) from problem
        if accelerator.num_processes > 1 and is_lost_process(problem):
            raise FinetuneError(
                f"{where}: process {accelerator.process_index} of {accelerator.num_processes} has lost another one, which has "
                f"died or was killed; its own last words say why ({_first_line(problem)}). The last checkpoint is whole: "
                "give the same command with --resume"
            ) from problem
        raise


class Position:
    """Where a training stands, for messages."""

    def __init__(self, run: str) -> None:
        """`run` names fold and seed."""
        self.run = run
        self.epoch = 0
        self.step = 0
        self.pass_size = "no utterances yet"
        self.pass_seconds: float | None = None
        """Padded audio of a pass, where the device's memory decided it."""

    def at(self, epoch: int, step: int) -> None:
        """Training has come to this step, both from 1."""
        self.epoch, self.step = epoch, step

    def passes(self, utterances: int, padded_seconds: float) -> None:
        """A forward pass of this size is about to run."""
        self.pass_size = f"{utterances} utterances, {padded_seconds:.1f} s with padding"

    def __str__(self) -> str:
        """As messages begin."""
        return f"{self.run}, epoch {self.epoch}, step {self.step}" if self.epoch else self.run


def is_out_of_memory(problem: BaseException) -> bool:
    """A GPU's own error, numpy's, or the CPU allocator's, which has no class of its own."""
    return isinstance(problem, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(problem)


def is_lost_process(problem: BaseException) -> bool:
    """Whether an error comes from a collective operation whose other end is gone."""
    return isinstance(problem, torch.distributed.DistError) or any(word in str(problem).lower() for word in LOST)


def _first_line(problem: BaseException) -> str:
    return str(problem).strip().split("\n")[0] or type(problem).__name__
