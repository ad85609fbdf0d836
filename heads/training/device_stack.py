"""The runs of a stack on the device path: one tensor a parameter, one optimiser, no waiting within an epoch."""

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.features.feature_source import FeatureSource
from mer.heads.features.statistics import Statistics
from mer.heads.features.step import Step
from mer.heads.fusion.head import Head
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.draws import Draws, step_keys
from mer.heads.stacked.device.run_rows import tables_to_device
from mer.heads.stacked.device.stacked_adam import StackedAdam
from mer.heads.training.stacked_forward import stacked_logits


class DeviceStack:
    """Parameters, moments and statistics of up to `capacity` runs; a run that enters or leaves moves slices only."""

    def __init__(
        self, head: Head, statistics: Mapping[str, Statistics], capacity: int, path: DevicePath, device: torch.device
    ) -> None:
        """Nobody is in.

        Args:
            head: of any run; all have its shape.
            statistics: of any run.
            capacity: most runs at once.
            path: how they are computed.
            device: where.
        """
        self.path, self._device = path, device
        self.module = copy.deepcopy(head)
        self._full = {name: _room(each.detach(), capacity, device) for name, each in head.named_parameters()}
        self._moments = {name: (torch.zeros_like(each), torch.zeros_like(each)) for name, each in self._full.items()}
        self._mean = {name: _room(each.mean, capacity, device) for name, each in statistics.items()}
        self._std = {name: _room(each.std, capacity, device) for name, each in statistics.items()}
        self.slots: list[Slot] = []
        self._adam: StackedAdam | None = None
        self.statistics: Mapping[str, Statistics] = {}

    def enter(self, head: Head, statistics: Mapping[str, Statistics], seed: int) -> "Slot":
        """Take in a run as the last one.

        Args:
            head: its untrained parameters.
            statistics: its normalisation.
            seed: of its dropout.
        """
        slot = Slot(self, head, len(self.slots), seed)
        for name, each in head.named_parameters():
            self._full[name][slot.number].copy_(each.detach())
            for moment in self._moments[name]:
                moment[slot.number].zero_()
        for name, own in statistics.items():
            self._mean[name][slot.number].copy_(own.mean)
            self._std[name][slot.number].copy_(own.std)
        self.slots.append(slot)
        self._rebind()
        return slot

    def keep(self, numbers: Sequence[int]) -> list[int]:
        """Let the others go: the last fill the gaps. Gives who is where now.

        Args:
            numbers: of the runs that stay, ascending.
        """
        stays = [number for number in numbers if number < len(numbers)]
        gaps = sorted(set(range(len(numbers))) - set(stays))
        order = list(range(len(numbers)))
        for gap, last in zip(gaps, (number for number in numbers if number >= len(numbers)), strict=True):
            order[gap] = last
            tables = [*self._full.values(), *self._mean.values(), *self._std.values()]
            for each in (*tables, *(moment for pair in self._moments.values() for moment in pair)):
                each[gap].copy_(each[last])
        self.slots = [self.slots[number] for number in order]
        for number, slot in enumerate(self.slots):
            slot.number = number
        self._rebind()
        return order

    def logits(
        self, sources: Mapping[str, FeatureSource], step: Step, draws: Draws | None
    ) -> Float[Tensor, "utterances classes"]:
        """See `stacked_logits`; `step` has rows, or none, for every run."""
        return stacked_logits([self.module], [self.statistics], sources, step, draws, self.path)

    def train_step(
        self, sources: Mapping[str, FeatureSource], step: Step, losses: Callable[[Tensor], tuple[Tensor, Tensor]], rate: float
    ) -> Float[Tensor, " runs"]:
        """Move every run that has rows; gives the summed loss of each.

        Args:
            sources: granularity to features.
            step: rows, or none, of every run.
            losses: from the logits of all runs what is to be lowered, and the summed loss of each run; see `summed_losses`.
            rate: step size.
        """
        sizes = np.array([len(rows) for rows in step.rows])
        draws = self._draws()
        for slot, size in zip(self.slots, sizes, strict=True):
            slot.steps += int(size > 0)
        if self._adam is None:
            raise RuntimeError("nobody is in the stack")
        self._adam.begin(rate, np.array([max(1, slot.steps) for slot in self.slots], dtype=np.int64), (sizes > 0).tolist())
        total, sums = losses(self.logits(sources, step, draws))
        # Runs share no parameter: the gradient of the sum of their losses is each run's own.
        torch.autograd.backward(total)
        self._adam.step()
        return sums

    def _draws(self) -> Draws:
        steps = np.array([slot.steps for slot in self.slots], dtype=np.int64)
        seeds = np.array([slot.seed for slot in self.slots], dtype=np.int64)
        return Draws(keys=tables_to_device([step_keys(seeds, steps)], self._device)[0])

    def load(self, number: int, weights: Mapping[str, Tensor]) -> None:
        """Give a run other weights; its moments stay.

        Args:
            number: of the run.
            weights: parameter to value.
        """
        for name, each in weights.items():
            self._full[name][number].copy_(each)
        if self._adam is not None:
            self._adam.forget_copies()

    def beyond_copies(self) -> list[str | None]:
        """A parameter of each run whose copy for products is no number any more, though it may be one itself; None of most runs.

        A copy in float16 ends at 65504, where TF32 has the range of float32. Waits for the device: once an epoch.
        """
        copies = [] if self._adam is None else self._adam.copies
        narrow = {name: each for name, each in zip(self._full, copies, strict=True) if each is not None} if copies else {}
        if not narrow:
            return [None] * len(self.slots)
        ends = [torch.stack(torch.aminmax(each.flatten(1), dim=1)) for each in narrow.values()]
        # (weights, runs)
        lost = (~torch.stack(ends).isfinite()).any(1).cpu()
        return [next((name for name, own in zip(narrow, column, strict=True) if own), None) for column in lost.T.tolist()]

    def values(self, name: str) -> Float[Tensor, "runs ..."]:
        """A parameter of all runs."""
        return self._full[name][: len(self.slots)]

    def _rebind(self) -> None:
        """Give the module the slices of the runs that are in."""
        runs, leaves = len(self.slots), []
        for name in self._full:
            owner, _, own_name = name.rpartition(".")
            leaf = nn.Parameter(self._full[name][:runs])
            self.module.get_submodule(owner)._parameters[own_name] = leaf
            leaves.append(leaf)
        moments = [(first[:runs], second[:runs]) for first, second in self._moments.values()]
        self._adam = StackedAdam(leaves, moments, self.path) if runs else None
        self.statistics = {name: Statistics(mean=self._mean[name][:runs], std=self._std[name][:runs]) for name in self._mean}


class Slot:
    """One run of a stack, as a head of its own: what early stopping and the test want of it."""

    def __init__(self, stack: DeviceStack, head: Head, number: int, seed: int) -> None:
        """The run's place, its untrained head and the seed of its dropout."""
        self.stack, self._head, self.number, self.seed = stack, head, number, seed
        self.steps = 0
        """Steps of the optimiser that it has made."""

    def state_dict(self) -> dict[str, Tensor]:
        """Its slices of the parameters."""
        return {name: self.stack.values(name)[self.number] for name in self._head.state_dict()}

    def load_state_dict(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrite them."""
        self.stack.load(self.number, weights)

    def layer_shares(self) -> dict[str, list[float]]:
        """See `Head.layer_shares`."""
        self._head.load_state_dict({name: each.cpu() for name, each in self.state_dict().items()})
        return self._head.layer_shares()


def _room(like: Tensor, capacity: int, device: torch.device) -> Tensor:
    return torch.zeros(capacity, *like.shape, dtype=like.dtype, device=device)


def summed_losses(each: Float[Tensor, " utterances"], counts: Sequence[int]) -> tuple[Float[Tensor, ""], Float[Tensor, " runs"]]:
    """The sum over runs of the mean loss of a step, and the summed loss of each run; a run without utterances has zero."""
    sizes, device = np.asarray(counts), each.device
    runs = np.repeat(np.arange(len(sizes)), sizes)
    shares = (1 / np.maximum(sizes, 1)).astype(np.float32)
    bits, places = tables_to_device([shares[runs].view(np.int32), np.cumsum(sizes) - sizes], device)
    total = (each * bits.view(torch.float32)).sum()
    rows = torch.arange(len(each), device=device)
    sums = torch.nn.functional.embedding_bag(rows, each.detach()[:, None], places.long(), mode="sum")[:, 0]
    return total, sums
