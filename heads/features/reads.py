"""Which stored units the runs of a step want, and how they are handed out in blocks of converted values."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

# Values that are converted to float32 at a time. On a CPU they (0.6 MB, 16 units of 12 x 768) and their product stay in the
# second-level cache between conversion, product and sum; on a GPU the block only bounds memory.
BLOCK_CPU = 16 * 12 * 768
BLOCK_GPU = 8192 * 12 * 768


class Use(NamedTuple):
    """A part of a block that one run wants."""

    run: int
    """Number of the run."""
    start: int
    """First unit in the block."""
    end: int
    """Unit after the last."""
    place: int
    """Row of the first unit in the output, which holds all units of run 0, then of run 1, and so on."""


class Piece(NamedTuple):
    """Stored units of one utterance, and who wants them."""

    units: Tensor
    """(units, layers, dim) in storage precision."""
    wanted: tuple[tuple[int, int], ...]
    """(run, row of the output)."""


class Table(NamedTuple):
    """Pieces and their uses as plain numbers, for compiled loops; see `mer.heads.stacked.layer_kernel.sum_layers`."""

    pieces: NDArray[np.int64]
    uses: NDArray[np.int64]
    half: bool
    unit_stride: int
    layer_stride: int


@runtime_checkable
class Reads(Protocol):
    """The units of one granularity that a step of several runs wants."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of each run."""
        ...

    @property
    def lengths(self) -> Int64[Tensor, " utterances"]:
        """Units of each utterance, run after run, on the CPU."""
        ...

    def blocks(self, like: Tensor) -> Iterator[tuple[Tensor, Sequence[Use]]]:
        """Blocks of units in the precision of `like` (layers, dim), each overwritten by the next."""
        ...


class SharedReads:
    """Units in memory that is read in place: each utterance is converted once for all runs that want it."""

    def __init__(self, pieces: Sequence[Piece], sizes: tuple[int, ...], lengths: Tensor) -> None:
        self.sizes, self.lengths = sizes, lengths
        self._pieces = pieces

    def table(self) -> Table | None:
        """Where the units lie in memory; None if they are not float16 or float32, or not all laid out in one way."""
        if not self._pieces:
            return None
        layouts = {(units.dtype, units.stride()) for units, _ in self._pieces}
        dtype, strides = next(iter(layouts))
        if len(layouts) > 1 or dtype not in {torch.float16, torch.float32} or strides[2] != 1:
            return None
        wanted = [len(uses) for _, uses in self._pieces]
        ends = list(accumulate(wanted))
        pieces = [
            (units.data_ptr(), units.shape[0], end - count, end)
            for (units, _), count, end in zip(self._pieces, wanted, ends, strict=True)
        ]
        uses = list(chain.from_iterable(uses for _, uses in self._pieces))
        return Table(
            np.array(pieces, dtype=np.int64), np.array(uses, dtype=np.int64), dtype == torch.float16, strides[0], strides[1]
        )

    def blocks(self, like: Tensor) -> Iterator[tuple[Tensor, Sequence[Use]]]:
        """See `Reads`. An utterance is cut at multiples of a block's size, whatever else is in the block."""
        room = max(1, BLOCK_CPU // like.numel())
        block = like.new_empty(room, *like.shape)
        filled, uses = 0, list[Use]()
        for piece in self._pieces:
            for taken in range(0, piece.units.shape[0], room):
                part = piece.units[taken : taken + room]
                count = part.shape[0]
                if filled + count > room:
                    yield block[:filled], uses
                    filled, uses = 0, []
                block[filled : filled + count].copy_(part)
                uses += [Use(run, filled, filled + count, place + taken) for run, place in piece.wanted]
                filled += count
        if uses:
            yield block[:filled], uses


class GatheredReads:
    """Units in one tensor on a GPU, gathered for one run after the other: launches cost more there than reading."""

    def __init__(self, units: Tensor, positions: Sequence[Tensor], lengths: Tensor, *, block: int = BLOCK_GPU) -> None:
        """Prepare the reads.

        Args:
            units: (units, layers, dim) of all that is wanted, in storage precision.
            positions: the rows of `units` that each run wants.
            lengths: units of each utterance, run after run, on the CPU.
            block: values of a block.
        """
        self.sizes, self.lengths = tuple(len(each) for each in positions), lengths
        self._units, self._positions, self._block = units, positions, block

    def blocks(self, like: Tensor) -> Iterator[tuple[Tensor, Sequence[Use]]]:
        """See `Reads`."""
        room, place = max(1, self._block // like.numel()), 0
        for run, positions in enumerate(self._positions):
            for part in torch.split(positions, room):
                if len(part):
                    yield self._units[part].to(like.dtype), [Use(run, 0, len(part), place)]
                    place += len(part)
