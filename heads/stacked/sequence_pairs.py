"""Two sequences per utterance, put side by side so that every unit of one meets every unit of the other.

Whatever is computed for one unit works on packed units. Only the products of attention need all pairs of units
of an utterance; for those, utterances of similar lengths are padded to a common length and go together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

# A bucket is closed when its padding would exceed this share of the pairs of all utterances. The measure is
# the whole step, so that short utterances, which cost nothing, do not end up in buckets of their own.
PADDING_SHARE = 1 / 64

# Padding up to so many pairs is free: a bucket's dozens of small operations take longer.
FREE_PAIRS = 2**14


@dataclass(frozen=True, kw_only=True, eq=False)
class PaddedSide:
    """One of the two sequences of every utterance: where its packed units stand in the padded buckets."""

    units: Int64[Tensor, " slots"]
    """Packed unit of each slot; spare slots repeat the last unit of their own utterance."""
    slots: Int64[Tensor, " units"]
    """Slot of each packed unit."""
    spare: Bool[Tensor, " slots"]
    """Slots that only fill up."""
    shapes: tuple[tuple[int, int], ...]
    """Utterances and padded length of each bucket."""

    def pad(self, values: Float[Tensor, "units width"]) -> list[Float[Tensor, "_ _ width"]]:
        """Buckets (utterances, padded length, width) of packed units; spare slots pass no gradient on."""
        slots: Tensor = _Pad.apply(values, self.units, self.slots)  # type: ignore[no-untyped-call]
        return self._buckets(slots)

    def pack(self, buckets: Sequence[Float[Tensor, "_ _ width"]]) -> Float[Tensor, "units width"]:
        """The reverse of `pad`, forgetting spare slots."""
        slots = torch.cat([bucket.flatten(0, 1) for bucket in buckets])
        packed: Tensor = _Pack.apply(slots, self.slots)  # type: ignore[no-untyped-call]
        return packed

    def penalties(self, like: Tensor) -> list[Float[Tensor, "_ _"]]:
        """Per bucket what is added to the scores of a slot: 0, or minus infinity where it is spare."""
        return self._buckets(like.new_zeros(self.spare.shape).masked_fill_(self.spare, -torch.inf))

    def _buckets(self, slots: Tensor) -> list[Tensor]:
        parts = slots.split([utterances * longest for utterances, longest in self.shapes])
        return [part.view(*shape, *part.shape[1:]) for part, shape in zip(parts, self.shapes, strict=True)]


def pair_sequences(
    first: Int64[Tensor, " utterances"], second: Int64[Tensor, " utterances"], device: torch.device
) -> tuple[PaddedSide, PaddedSide]:
    """Buckets of utterances that are alike in both lengths, the same utterances in the same order on both sides.

    Args:
        first: units of each utterance on one side, at least 1, on the CPU.
        second: units of each utterance on the other side.
        device: where the units are.
    """
    sides = first.numpy(), second.numpy()
    buckets = _buckets(*sides)
    return _padded_side(sides[0], buckets, device), _padded_side(sides[1], buckets, device)


def _buckets(first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Utterances of each bucket, the longest first."""
    order = np.lexsort((-second, -first))
    allowed = max(PADDING_SHARE * float(first @ second), FREE_PAIRS)
    buckets, start, pairs, longest = [], 0, 0, (0, 0)
    for end, utterance in enumerate(order):
        lengths = int(first[utterance]), int(second[utterance])
        wider = max(longest[0], lengths[0]), max(longest[1], lengths[1])
        more = pairs + lengths[0] * lengths[1]
        if end > start and (end + 1 - start) * wider[0] * wider[1] - more > allowed:
            buckets.append(order[start:end])
            start, wider, more = end, lengths, lengths[0] * lengths[1]
        pairs, longest = more, wider
    return [*buckets, order[start:]]


def _padded_side(lengths: np.ndarray, buckets: Sequence[np.ndarray], device: torch.device) -> PaddedSide:
    starts = np.cumsum(lengths) - lengths
    units, spare, shapes = [], [], []
    for members in buckets:
        own = lengths[members][:, None]
        place = np.arange(own.max())
        units.append((starts[members][:, None] + np.minimum(place, own - 1)).ravel())
        spare.append((place >= own).ravel())
        shapes.append((len(members), len(place)))
    units_of_slots, spare_slots = np.concatenate(units), np.concatenate(spare)
    slots = np.empty(int(lengths.sum()), dtype=np.int64)
    slots[units_of_slots[~spare_slots]] = np.flatnonzero(~spare_slots)
    return PaddedSide(
        units=torch.from_numpy(units_of_slots).to(device),
        slots=torch.from_numpy(slots).to(device),
        spare=torch.from_numpy(spare_slots).to(device),
        shapes=tuple(shapes),
    )


class _Pad(torch.autograd.Function):
    """`values[units]`, whose gradient is `gradient[slots]`: a gather in both directions, unlike `index_select`."""

    @staticmethod
    def forward(values: Tensor, units: Tensor, slots: Tensor) -> Tensor:
        return values.index_select(0, units)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slots,) = ctx.saved_tensors
        return gradients[0].index_select(0, slots), None, None


class _Pack(torch.autograd.Function):
    """`values[slots]`, whose gradient is zero at spare slots; no slot is written twice."""

    @staticmethod
    def forward(values: Tensor, slots: Tensor) -> Tensor:
        return values.index_select(0, slots)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.total = inputs[0].shape[0]
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slots,) = ctx.saved_tensors
        spread = gradients[0].new_zeros(ctx.total, gradients[0].shape[1])
        return spread.index_copy_(0, slots, gradients[0]), None
