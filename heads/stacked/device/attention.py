"""Attention of the units of one sequence to those of another of the same utterance, per attention head and without padding."""

import math
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.launch import launch
from mer.heads.stacked.device.pairs import cut
from mer.heads.stacked.device.run_rows import tables_to_device

ROWS = 32
"""Rows of a tile, and rows of the other side that a program takes at a time."""


class Meetings:
    """Which units attend to which: those of an utterance to all of the same utterance on the other side."""

    def __init__(
        self,
        queries: Int64[Tensor, " utterances"],
        keys: Int64[Tensor, " utterances"],
        heads: int,
        path: DevicePath,
        device: torch.device,
    ) -> None:
        """Nothing is copied before a kernel asks.

        Args:
            queries: units of each utterance that attend.
            keys: units of each utterance that are attended to.
            heads: attention heads.
            path: how it is computed.
            device: where.
        """
        self.heads, self._queries, self._keys = heads, queries.numpy(), keys.numpy()
        self.path, self._device = path, device
        self.scores = int((self._queries * self._keys).sum()) * heads
        """Scores of all utterances and heads."""

    @cached_property
    def tiles(self) -> list[Int32[Tensor, "tiles four"]]:
        """Those of the queries, and those of the keys; see `attention_kernels`."""
        sides = [self._queries, self._keys]
        return tables_to_device([_tiles(one, other) for one, other in (sides, sides[::-1])], self._device)


def attend(
    queries: Float[Tensor, "queries dim"], keys: Float[Tensor, "keys dim"], values: Float[Tensor, "keys dim"], meetings: Meetings
) -> Float[Tensor, "queries dim"]:
    """`softmax(Q K^T / sqrt(d)) V` of every utterance and attention head, of d values each; the heads side by side.

    Args:
        queries: of all utterances, one after the other.
        keys: likewise.
        values: of the keys.
        meetings: who attends to whom.
    """
    out: Tensor = _Attend.apply(queries, keys, values, meetings)  # type: ignore[no-untyped-call]
    return out


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, meetings: Meetings) -> Tensor:
        from mer.heads.stacked.device.attention_kernels import attend_forward

        out = torch.empty_like(queries)
        logs = torch.empty(len(queries), meetings.heads, dtype=torch.float32, device=queries.device)
        tiles, shape, options = _call(queries, meetings)
        launch(
            attend_forward, (len(tiles[0]), meetings.heads), queries, keys, values, out, logs, tiles[0], *shape,
            reads=[queries, keys, values, tiles[0]], writes=[out, logs], flops=_flops(queries, meetings, 2), **options,
        )  # fmt: skip
        ctx.meetings = meetings
        ctx.save_for_backward(queries, keys, values, out, logs)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from mer.heads.stacked.device.attention_kernels import attend_of_keys, attend_of_queries

        (queries, keys, values, out, logs), meetings = ctx.saved_tensors, ctx.meetings
        gradient = gradients[0].contiguous()
        found, of_keys, of_values, means = (torch.empty_like(each) for each in (queries, keys, values, logs))
        tiles, shape, options = _call(queries, meetings)
        launch(
            attend_of_queries, (len(tiles[0]), meetings.heads),
            queries, keys, values, out, gradient, logs, found, means, tiles[0], *shape,
            reads=[queries, keys, values, out, gradient, logs, tiles[0]], writes=[found, means],
            flops=_flops(queries, meetings, 3), **options,
        )  # fmt: skip
        launch(
            attend_of_keys, (len(tiles[1]), meetings.heads),
            queries, keys, values, gradient, logs, means, of_keys, of_values, tiles[1], *shape,
            reads=[queries, keys, values, gradient, logs, means, tiles[1]], writes=[of_keys, of_values],
            flops=_flops(queries, meetings, 4), **options,
        )  # fmt: skip
        return found, of_keys, of_values, None


def _call(queries: Tensor, meetings: Meetings) -> tuple[list[Tensor], tuple[float, int, int], dict[str, Any]]:
    """Tiles of both sides, scale with heads and their width, and constants."""
    width = queries.shape[1] // meetings.heads
    padded = max(16, 1 << (width - 1).bit_length())
    options = {"PRECISION": meetings.path.dot, "ROWS": ROWS, "KEYS": ROWS, "WIDTH": padded}
    return meetings.tiles, (1 / math.sqrt(width), meetings.heads, width), options


def _flops(queries: Tensor, meetings: Meetings, products: int) -> float:
    return 2.0 * products * meetings.scores * (queries.shape[1] // meetings.heads)


def _tiles(own: Int64[np.ndarray, " utterances"], other: Int64[np.ndarray, " utterances"]) -> Int64[np.ndarray, "tiles four"]:
    utterances, within = cut(own, ROWS)
    ends, last = np.cumsum(own)[utterances], np.cumsum(other)[utterances]
    return np.stack([ends - own[utterances] + ROWS * within, ends, last - other[utterances], last], 1)
