"""Attention between the two sequences of each utterance, of many utterances at once and without padding."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.linear import DEPTH
from mer.heads.stacked.device.norm import EPSILON, owed_of
from mer.heads.stacked.device.normed import Affine, Normed, link_like, normed, parts_of
from mer.heads.stacked.device.run_rows import TILE, RunRows, tables_to_device
from mer.heads.stacked.device.shared import Shared, gradient_of, room, shared

BLOCK, PART = 32, 16
"""Columns of a program that goes through all rows of an utterance; rows of one that holds them whole."""


class Pairs:
    """Who meets whom: every unit of the longer side of an utterance every unit of the shorter one, for each attention head."""

    def __init__(
        self,
        longer: Int64[Tensor, " utterances"],
        shorter: Int64[Tensor, " utterances"],
        heads: int,
        path: DevicePath,
        device: torch.device,
        utterances: Sequence[int],
    ) -> None:
        """Nothing is copied before a kernel asks.

        Args:
            longer: units of each utterance on one side, the rows.
            shorter: on the other side, of which each unit is a column for every head.
            heads: attention heads.
            path: how it is computed.
            device: where.
            utterances: of each run.
        """
        self.heads, self.path, self._device = heads, path, device
        self._rows, self._columns = longer.numpy(), shorter.numpy() * heads
        self._runs = np.repeat(np.arange(len(utterances)), np.array(utterances))
        self.scores = int((self._rows * self._columns).sum())
        """Scores of all utterances."""

    @cached_property
    def _tables(self) -> list[Tensor]:
        rows, columns = self._rows, self._columns
        sizes = rows * columns
        per_utterance = np.stack(
            [np.cumsum(rows) - rows, np.cumsum(rows), np.cumsum(columns) - columns, columns, np.cumsum(sizes) - sizes], 1
        )
        tables = []
        for number, (counts, length) in enumerate(((rows, TILE), (columns, BLOCK))):
            pieces, within = cut(counts, length)
            own = per_utterance[pieces]
            first = own[:, 0] if number == 0 else length * within
            tables.append(np.concatenate([own, first[:, None], self._runs[pieces, None]], 1))
            tables[-1][:, 0] += length * within * (number == 0)
        return tables_to_device(tables, self._device)

    @property
    def tiles(self) -> Int32[Tensor, "tiles seven"]:
        """Some rows of one utterance each, see `pair_kernels`."""
        return self._tables[0]

    @property
    def blocks(self) -> Int32[Tensor, "blocks seven"]:
        """Some columns of one utterance each: its rows, its columns, where its scores begin, the first column, and the run."""
        return self._tables[1]

    def score(
        self,
        values: Tensor | Shared,
        directions: Tensor,
        affine: Affine = None,
        offsets: Tensor | None = None,
        more: Tensor | None = None,
        scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> list[Float[Tensor, " scores"]]:
        """`scale (values[row] . directions[column] + offsets[column])`; and of other directions, where there are `more`."""
        from mer.heads.stacked.device.pair_kernels import pair_scores

        taken, dim, count = shared(values), directions.shape[1], 1 if more is None else 2
        out = [torch.empty(self.scores, dtype=dtype, device=directions.device) for _ in range(count)]
        given = [each for each in (*(affine or ()), offsets, more) if each is not None]
        launch(
            pair_scores, (len(self.tiles),),
            *taken.pair, *(affine or taken.pair), directions, directions if offsets is None else offsets,
            directions if more is None else more, out[0], out[-1], self.tiles, scale, dim,
            reads=[*taken.tensors, directions, self.tiles, *given], writes=out,
            flops=2.0 * self.scores * dim * count, SHARED=taken.factors is not None,
            AFFINE=affine is not None, SHIFTED=offsets is not None, TWO=more is not None,
            ROWS=TILE, COLUMNS=64, **self._options,
        )  # fmt: skip
        return out

    def normalise(
        self, shares: Tensor, outputs: Tensor, values: Tensor, affine: tuple[Tensor, Tensor]
    ) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, " rows"]]:
        """Normalised per row: what it is, and the sum over columns of share times output; with 1 / standard deviation."""
        from mer.heads.stacked.device.pair_kernels import pair_norm

        dim, padded = values.shape[1], max(16, 1 << (values.shape[1] - 1).bit_length())
        out = torch.empty(values.shape, dtype=self.path.normal, device=values.device)
        deviations = torch.empty(len(values), dtype=torch.float32, device=values.device)
        launch(
            pair_norm, (len(self.tiles), TILE // PART),
            shares, outputs, values, *affine, out, deviations, self.tiles, dim, EPSILON,
            reads=[shares, outputs, values, *affine, self.tiles], writes=[out, deviations], flops=2.0 * self.scores * dim,
            PRECISION=self.path.dot, ROWS=PART, DIM=padded, DEPTH=16, num_warps=8, num_stages=1,
        )  # fmt: skip
        return out, deviations

    def sums(self, pairs: Sequence[tuple[Tensor, Tensor]], dtype: torch.dtype, more: Shared, *, shares: bool) -> Shared:
        """Per row the sum over columns of share times value, of three pairs of shares and values, plus `more`.

        Args:
            pairs: shares and values.
            dtype: of what is given.
            more: is added.
            shares: give rows that share factors.
        """
        from mer.heads.stacked.device.pair_kernels import pair_sums

        (rows, dim), flat = more.values.shape, [each for pair in pairs for each in pair]
        out = room(rows, dim, more.values, dtype, shares=shares)
        launch(
            pair_sums, (len(self.tiles), -(-dim // 128)), *flat, *more.pair, *out.pair, self.tiles, dim,
            reads=[*flat, *more.tensors, self.tiles], writes=out.tensors, flops=2.0 * self.scores * dim * 3,
            SHARED=more.factors is not None, SHARE=shares, ROWS=TILE, COLUMNS=128, **self._options,
        )  # fmt: skip
        return out

    def columns(
        self,
        shares: Sequence[Tensor],
        values: Tensor | Shared,
        dtype: torch.dtype,
        affine: Affine = None,
        totals: Tensor | None = None,
    ) -> list[Float[Tensor, "columns dim"]]:
        """Per column the sum over rows of share times value, of one or two kinds of shares; `totals`: of the first alone."""
        from mer.heads.stacked.device.pair_kernels import pair_columns

        given, two = shared(values), len(shares) == 2
        dim, device = given.values.shape[1], given.values.device
        out = [torch.empty(int(self._columns.sum()), dim, dtype=dtype, device=device) for _ in shares]
        launch(
            pair_columns, (len(self.blocks), -(-dim // 128)),
            shares[0], shares[-1], *given.pair, *(affine or given.pair), out[0], out[-1],
            out[0] if totals is None else totals, self.blocks, dim,
            reads=[*shares, *given.tensors, *(affine or ()), self.blocks],
            writes=[*out, *([] if totals is None else [totals])], flops=2.0 * self.scores * dim * len(shares),
            SHARED=given.factors is not None, AFFINE=affine is not None, TWO=two, TOTALS=totals is not None,
            ROWS=BLOCK, COLUMNS=128, **self._options,
        )  # fmt: skip
        return out

    def share(self, scores: Tensor, *, over_rows: bool) -> Float[Tensor, " scores"]:
        """Softmax of the scores, over the rows of an utterance or over its units of the shorter side, as a product takes it."""
        out = scores if self.path.normal == scores.dtype else torch.empty_like(scores, dtype=self.path.normal)
        self._softmax(scores, scores, out, 1.0, over_rows=over_rows, backward=False)
        return out

    def owe(self, gradient: Tensor, shares: Tensor, scale: float, *, over_rows: bool) -> Float[Tensor, " scores"]:
        """`scale` times the gradient of scores, from that of shares, which is overwritten."""
        self._softmax(gradient, shares, gradient, scale, over_rows=over_rows, backward=True)
        return gradient

    def _softmax(self, scores: Tensor, shares: Tensor, out: Tensor, scale: float, *, over_rows: bool, backward: bool) -> None:
        from mer.heads.stacked.device.pair_kernels import softmax_of_columns, softmax_of_rows

        table = self.blocks if over_rows else self.tiles
        moved: dict[str, Any] = {"reads": [scores, *([shares] if backward else []), table], "writes": [out], "BACKWARD": backward}
        if over_rows:
            launch(softmax_of_rows, (len(table),), scores, shares, out, table, scale, ROWS=64, COLUMNS=BLOCK, **moved)
        else:
            width = 1 << (self.heads - 1).bit_length()
            launch(
                softmax_of_columns, (len(table),), scores, shares, out, table, scale, self.heads,
                ROWS=16, UNITS=max(1, 128 // width), HEADS=width, **moved,
            )  # fmt: skip

    @property
    def _options(self) -> dict[str, Any]:
        return {"PRECISION": self.path.dot, "DEPTH": DEPTH}


def attend_both_ways(
    values: Normed,
    per_column: tuple[
        Float[Tensor, "columns dim"], Float[Tensor, " columns"], Float[Tensor, "columns dim"], Float[Tensor, "columns dim"]
    ],
    norm: tuple[Float[Tensor, "runs dim"], Float[Tensor, "runs dim"]],
    pairs: Pairs,
    rows: RunRows,
) -> tuple[Normed, Float[Tensor, "columns dim"]]:
    """Every row attends to the columns, and every column to the rows.

    Gives `LN(values + sum_column softmax(s (values . directions + offsets)) outputs)` of every row, the heads added, and
    `sum_row softmax(s values . queries) values` of every column; s is 1 over the root of an attention head's width.

    Args:
        values: the rows.
        per_column: directions, which rows are compared with; offsets, added to the scores; outputs, what rows that attend to a
            column get; queries, which the column compares rows with.
        norm: gain and bias of the normalisation.
        pairs: who meets whom.
        rows: of each run.

    The rows that are given are for one reader, as those of `feed_forward` with `shares` are, where the path shares exponents.
    """
    made = _BothWays.apply(*parts_of(values, flat=True), *per_column, *norm, pairs, rows)  # type: ignore[no-untyped-call]
    return normed(made[:2], *norm), made[2]


class _BothWays(torch.autograd.Function):
    """Rows are read once for the scores of both, and once for the gradients of both kinds of directions."""

    @staticmethod
    def forward(
        ctx: Any, link: Tensor, values: Tensor, affine: Affine,
        directions: Tensor, offsets: Tensor, outputs: Tensor, queries: Tensor, gains: Tensor, biases: Tensor,
        pairs: Pairs, rows: RunRows,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        if affine is None:
            raise TypeError("rows that attend are normalised ones")
        scale = math.sqrt(pairs.heads / values.shape[1])
        to_columns, to_rows = pairs.score(values, directions, affine, offsets, queries, scale)
        shares, weights = pairs.share(to_columns, over_rows=False), pairs.share(to_rows, over_rows=True)
        (found,) = pairs.columns([weights], values, directions.dtype, affine)
        normal, deviations = pairs.normalise(shares, outputs, values, affine)
        ctx.pairs, ctx.rows, ctx.affine, ctx.flat, ctx.scale = pairs, rows, affine, link.ndim == 1, scale
        ctx.save_for_backward(values, directions, outputs, queries, shares, weights, normal, deviations, gains)
        ctx.mark_non_differentiable(normal)
        ctx.set_materialize_grads(False)
        return normal, link_like(values, rows.dtype, shares=pairs.path.shares), found

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        values, directions, outputs, queries, shares, weights, normal, deviations, gains = ctx.saved_tensors
        pairs, dtype, below = ctx.pairs, directions.dtype, gradients[2].contiguous()
        came = gradient_of(values, gradients[1])
        above, *of_norm = owed_of(came, normal, deviations, gains, ctx.rows, shares=pairs.path.shares)
        (of_outputs,) = pairs.columns([shares], above, dtype)
        owed = pairs.owe(pairs.score(above, outputs, dtype=dtype)[0], shares, ctx.scale, over_rows=False)
        of_offsets = torch.empty(len(directions), device=values.device)
        owed_back = pairs.owe(pairs.score(values, below, ctx.affine, dtype=dtype)[0], weights, ctx.scale, over_rows=True)
        of_directions, of_queries = pairs.columns([owed, owed_back], values, dtype, ctx.affine, of_offsets)
        three = (owed, directions), (owed_back, queries), (weights, below)
        of_values = pairs.sums(three, ctx.rows.dtype, above, shares=ctx.flat)
        return of_values.gradient, None, None, of_directions, of_offsets, of_outputs, of_queries, *of_norm, None, None


def cut(sizes: Int64[np.ndarray, " utterances"], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Utterance and number within it of pieces of at most `length`."""
    counts = -(-sizes // length)
    pieces = np.repeat(np.arange(len(sizes)), counts)
    return pieces, np.arange(len(pieces)) - np.repeat(np.cumsum(counts) - counts, counts)
