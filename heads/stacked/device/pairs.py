"""Attention between the two sequences of each utterance, of many utterances at once and without padding."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.linear import DEPTH
from mer.heads.stacked.device.run_rows import TILE, tables_to_device

BLOCK = 32
"""Columns of a program that goes through all rows of an utterance."""


class Pairs:
    """Who meets whom: every unit of the longer side of an utterance every unit of the shorter one, for each attention head."""

    def __init__(
        self,
        longer: Int64[Tensor, " utterances"],
        shorter: Int64[Tensor, " utterances"],
        heads: int,
        path: DevicePath,
        device: torch.device,
    ) -> None:
        """Nothing is copied before a kernel asks.

        Args:
            longer: units of each utterance on one side, the rows.
            shorter: on the other side, of which each unit is a column for every head.
            heads: attention heads.
            path: how it is computed.
            device: where.
        """
        self.heads, self.path, self._device = heads, path, device
        self._rows, self._columns = longer.numpy(), shorter.numpy() * heads
        self.scores = int((self._rows * self._columns).sum())
        """Scores of all utterances."""

    @cached_property
    def _tables(self) -> list[Tensor]:
        rows, columns = self._rows, self._columns
        sizes = rows * columns
        per_utterance = np.stack(
            [np.cumsum(rows) - rows, np.cumsum(rows), np.cumsum(columns) - columns, columns, np.cumsum(sizes) - sizes], 1
        )
        tiles, within = cut(rows, TILE)
        first = per_utterance[tiles]
        tile_table = np.concatenate([first, first[:, :1]], 1)
        tile_table[:, 0] += TILE * within
        blocks, within = cut(columns, BLOCK)
        block_table = np.concatenate([per_utterance[blocks], BLOCK * within[:, None]], 1)
        return tables_to_device([tile_table, block_table], self._device)

    @property
    def tiles(self) -> Int32[Tensor, "tiles six"]:
        """Some rows of one utterance each, see `pair_kernels`."""
        return self._tables[0]

    @property
    def blocks(self) -> Int32[Tensor, "blocks six"]:
        """Some columns of one utterance each: its rows, its columns, where its scores begin, and the first column."""
        return self._tables[1]

    def score(self, values: Tensor, directions: Tensor, offsets: Tensor | None = None) -> Float[Tensor, " scores"]:
        """`values[row] . directions[column] + offsets[column]`."""
        from mer.heads.stacked.device.pair_kernels import pair_scores

        out, dim = torch.empty(self.scores, device=values.device), values.shape[1]
        launch(
            pair_scores, (len(self.tiles),), values, directions, directions if offsets is None else offsets, out, self.tiles, dim,
            reads=[values, directions, self.tiles, *([] if offsets is None else [offsets])], writes=[out],
            flops=2.0 * self.scores * dim, SHIFTED=offsets is not None, ROWS=TILE, COLUMNS=64, **self._options,
        )  # fmt: skip
        return out

    def sums(
        self, shares: Tensor, values: Tensor, second: tuple[Tensor, Tensor] | None = None, more: Tensor | None = None
    ) -> Float[Tensor, "rows dim"]:
        """Per row the sum over columns of share times value, and of a second pair, plus `more`."""
        from mer.heads.stacked.device.pair_kernels import pair_sums

        dim, pair = values.shape[1], second or (shares, values)
        out = torch.empty(int(self._rows.sum()), dim, dtype=values.dtype, device=values.device)
        launch(
            pair_sums, (len(self.tiles), -(-dim // 128)),
            shares, values, *pair, out if more is None else more, out, self.tiles, dim,
            reads=[shares, values, self.tiles, *(second or []), *([] if more is None else [more])],
            writes=[out],
            flops=2.0 * self.scores * dim * (2 if second else 1),
            TWO=second is not None, MORE=more is not None, ROWS=TILE, COLUMNS=128, **self._options,
        )  # fmt: skip
        return out

    def columns(self, shares: Tensor, values: Tensor, totals: Tensor | None = None) -> Float[Tensor, "columns dim"]:
        """Per column the sum over rows of share times value; `totals` takes that of the shares alone."""
        from mer.heads.stacked.device.pair_kernels import pair_columns

        dim = values.shape[1]
        out = torch.empty(int(self._columns.sum()), dim, dtype=values.dtype, device=values.device)
        launch(
            pair_columns, (len(self.blocks), -(-dim // 128)),
            shares, values, out, out if totals is None else totals, self.blocks, dim,
            reads=[shares, values, self.blocks], writes=[out, *([] if totals is None else [totals])], TOTALS=totals is not None,
            flops=2.0 * self.scores * dim,
            ROWS=BLOCK, COLUMNS=128, **self._options,
        )  # fmt: skip
        return out

    def share(self, scores: Tensor, *, over_rows: bool) -> Float[Tensor, " scores"]:
        """Softmax of the scores, over the rows of an utterance or over its units of the shorter side."""
        self._softmax(scores, scores, over_rows=over_rows, backward=False)
        return scores

    def owe(self, gradient: Tensor, shares: Tensor, *, over_rows: bool) -> Float[Tensor, " scores"]:
        """The gradient of scores, from that of shares, which it overwrites."""
        self._softmax(gradient, shares, over_rows=over_rows, backward=True)
        return gradient

    def _softmax(self, scores: Tensor, shares: Tensor, *, over_rows: bool, backward: bool) -> None:
        from mer.heads.stacked.device.pair_kernels import softmax_of_columns, softmax_of_rows

        moved: dict[str, Any] = {"reads": [scores, *([shares] if backward else [])], "writes": [scores], "BACKWARD": backward}
        if over_rows:
            launch(softmax_of_rows, (len(self.blocks),), scores, shares, self.blocks, ROWS=64, COLUMNS=BLOCK, **moved)
        else:
            width = 1 << (self.heads - 1).bit_length()
            launch(
                softmax_of_columns, (len(self.tiles),), scores, shares, self.tiles, self.heads,
                ROWS=16, UNITS=max(1, 128 // width), HEADS=width, **moved,
            )  # fmt: skip

    @property
    def _options(self) -> dict[str, Any]:
        return {"PRECISION": self.path.dot, "DEPTH": DEPTH}


def attend_rows(
    values: Tensor, directions: Tensor, offsets: Tensor, outputs: Tensor, pairs: Pairs
) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, "rows dim"]]:
    """Every row attends to the columns: `sum_column softmax(values . directions + offsets) outputs`, the heads added.

    Gives the values, too, for their next use: what that owes them is added while their gradient is made.

    Args:
        values: (rows, dim).
        directions: (columns, dim).
        offsets: (columns,).
        outputs: (columns, dim).
        pairs: who meets whom.
    """
    out: tuple[Tensor, Tensor] = _Rows.apply(values, directions, offsets, outputs, pairs)  # type: ignore[no-untyped-call]
    return out


def attend_columns(
    values: Tensor, directions: Tensor, pairs: Pairs
) -> tuple[Float[Tensor, "columns dim"], Float[Tensor, "rows dim"]]:
    """Every column attends to the rows: `sum_row softmax(values . directions) values`; otherwise as `attend_rows`."""
    out: tuple[Tensor, Tensor] = _Columns.apply(values, directions, pairs)  # type: ignore[no-untyped-call]
    return out


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, directions: Tensor, offsets: Tensor, outputs: Tensor, pairs: Pairs
    ) -> tuple[Tensor, Tensor]:
        shares = pairs.share(pairs.score(values, directions, offsets), over_rows=False)
        ctx.pairs = pairs
        ctx.save_for_backward(values, directions, outputs, shares)
        return pairs.sums(shares, outputs), values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, directions, outputs, shares = ctx.saved_tensors
        pairs, gradient = ctx.pairs, gradients[0].contiguous()
        of_outputs = pairs.columns(shares, gradient)
        owed = pairs.owe(pairs.score(gradient, outputs), shares, over_rows=False)
        of_offsets = torch.empty(len(directions), device=values.device)
        of_directions = pairs.columns(owed, values, of_offsets)
        return pairs.sums(owed, directions, more=gradients[1].contiguous()), of_directions, of_offsets, of_outputs, None


class _Columns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, directions: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        shares = pairs.share(pairs.score(values, directions), over_rows=True)
        ctx.pairs = pairs
        ctx.save_for_backward(values, directions, shares)
        return pairs.columns(shares, values), values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, directions, shares = ctx.saved_tensors
        pairs, gradient = ctx.pairs, gradients[0].contiguous()
        owed = pairs.owe(pairs.score(values, gradient), shares, over_rows=True)
        of_values = pairs.sums(shares, gradient, (owed, directions), gradients[1].contiguous())
        return of_values, pairs.columns(owed, values), None


def cut(sizes: Int64[np.ndarray, " utterances"], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Utterance and number within it of pieces of at most `length`."""
    counts = -(-sizes // length)
    pieces = np.repeat(np.arange(len(sizes)), counts)
    return pieces, np.arange(len(pieces)) - np.repeat(np.cumsum(counts) - counts, counts)
