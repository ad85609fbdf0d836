"""Attention between the two sequences of each utterance, of many utterances at once and without padding."""

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
from mer.heads.stacked.device.norm import EPSILON
from mer.heads.stacked.device.normed import Affine
from mer.heads.stacked.device.run_rows import TILE, tables_to_device
from mer.heads.stacked.device.shared import Shared, room, shared

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
        directions: Shared,
        affine: Affine = None,
        offsets: Tensor | None = None,
        more: Shared | None = None,
        scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> list[Float[Tensor, " scores"]]:
        """`scale (values[row] . directions[column] + offsets[column])`; and of other directions, where there are `more`."""
        from mer.heads.stacked.device.pair_kernels import pair_scores

        taken, also, dim = shared(values), directions if more is None else more, directions.values.shape[1]
        count, device = 1 if more is None else 2, directions.values.device
        out = [torch.empty(self.scores, dtype=dtype, device=device) for _ in range(count)]
        given = [each for each in (*(affine or ()), offsets) if each is not None]
        given += directions.tensors + ([] if more is None else more.tensors)
        launch(
            pair_scores, (len(self.tiles),),
            *taken.pair, *(affine or taken.pair), *directions.pair, directions.values if offsets is None else offsets,
            *also.pair, out[0], out[-1], self.tiles, scale, dim,
            reads=[*taken.tensors, self.tiles, *given], writes=out,
            flops=2.0 * self.scores * dim * count, SHARED=taken.shares, COLUMNS_SHARED=directions.shares,
            AFFINE=affine is not None, SHIFTED=offsets is not None, TWO=more is not None,
            ROWS=TILE, COLUMNS=64, **self._options,
        )  # fmt: skip
        return out

    def normalise(
        self, shares: Tensor, outputs: Shared, values: Tensor, affine: tuple[Tensor, Tensor]
    ) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, " rows"]]:
        """Normalised per row: what it is, and the sum over columns of share times output; with 1 / standard deviation."""
        from mer.heads.stacked.device.pair_kernels import pair_norm

        dim, padded = values.shape[1], max(16, 1 << (values.shape[1] - 1).bit_length())
        out = torch.empty(values.shape, dtype=self.path.normal, device=values.device)
        deviations = torch.empty(len(values), dtype=torch.float32, device=values.device)
        launch(
            pair_norm, (len(self.tiles), TILE // PART),
            shares, *outputs.pair, values, *affine, out, deviations, self.tiles, dim, EPSILON,
            reads=[shares, *outputs.tensors, values, *affine, self.tiles], writes=[out, deviations],
            flops=2.0 * self.scores * dim, COLUMNS_SHARED=outputs.shares, PRECISION=self.path.dot,
            ROWS=PART, DIM=padded, DEPTH=16, num_warps=8, num_stages=1,
        )  # fmt: skip
        return out, deviations

    def sums(self, pairs: Sequence[tuple[Tensor, Shared]], dtype: torch.dtype, more: Shared, *, shares: bool) -> Shared:
        """Per row the sum over columns of share times value, of three pairs of shares and values, plus `more`.

        Args:
            pairs: shares and values; all values share factors, or none.
            dtype: of what is given.
            more: is added.
            shares: give rows that share factors.
        """
        from mer.heads.stacked.device.pair_kernels import pair_sums

        (rows, dim), flat = more.values.shape, [each for one, other in pairs for each in (one, *other.pair)]
        read = [each for one, other in pairs for each in (one, *other.tensors)]
        out = room(rows, dim, more.values, dtype, shares=shares)
        launch(
            pair_sums, (len(self.tiles), -(-dim // 128)), *flat, *more.pair, *out.pair, self.tiles, dim,
            reads=[*read, *more.tensors, self.tiles], writes=out.tensors, flops=2.0 * self.scores * dim * 3,
            SHARED=more.shares, COLUMNS_SHARED=pairs[0][1].shares, SHARE=shares, ROWS=TILE, COLUMNS=128, **self._options,
        )  # fmt: skip
        return out

    def columns(
        self,
        shares: Sequence[Tensor],
        values: Tensor | Shared,
        dtype: torch.dtype,
        affine: Affine = None,
        totals: Tensor | None = None,
    ) -> list[Shared]:
        """Per column the sum over rows of share times value, of one or two kinds of shares; `totals`: of the first alone.

        What is given shares factors where the path does.
        """
        from mer.heads.stacked.device.pair_kernels import pair_columns

        given, two = shared(values), len(shares) == 2
        dim, columns = given.values.shape[1], int(self._columns.sum())
        out = [room(columns, dim, given.values, dtype, shares=self.path.shares) for _ in shares]
        launch(
            pair_columns, (len(self.blocks), -(-dim // 128)),
            shares[0], shares[-1], *given.pair, *(affine or given.pair), *out[0].pair, *out[-1].pair,
            out[0].values if totals is None else totals, self.blocks, dim,
            reads=[*shares, *given.tensors, *(affine or ()), self.blocks],
            writes=[*(part for each in out for part in each.tensors), *([] if totals is None else [totals])],
            flops=2.0 * self.scores * dim * len(shares), SHARED=given.shares, SHARE=self.path.shares,
            AFFINE=affine is not None, TWO=two, TOTALS=totals is not None, ROWS=BLOCK, COLUMNS=128, **self._options,
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


def cut(sizes: Int64[np.ndarray, " utterances"], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Utterance and number within it of pieces of at most `length`."""
    counts = -(-sizes // length)
    pieces = np.repeat(np.arange(len(sizes)), counts)
    return pieces, np.arange(len(pieces)) - np.repeat(np.cumsum(counts) - counts, counts)
