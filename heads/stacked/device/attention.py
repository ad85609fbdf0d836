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
from mer.heads.stacked.device.shared import SHARING, Shared, room

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
        out, logs = attended(Shared(queries), Shared(keys), Shared(values), meetings)
        ctx.meetings = meetings
        ctx.save_for_backward(queries, keys, values, out.values, logs)
        return out.values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *rows, logs = ctx.saved_tensors
        queries, keys, values, out = map(Shared, rows)
        found = owed_to_attention((queries, keys, values), out, logs, Shared(gradients[0].contiguous()), ctx.meetings)
        return *(each.values for each in found), None


def attended(queries: Shared, keys: Shared, values: Shared, meetings: Meetings) -> tuple[Shared, Float[Tensor, "queries heads"]]:
    """What `attend` gives, with factors where the queries have some, and the log of the sum of exponentials of each row and head.

    Args:
        queries: see `attend`.
        keys: see `attend`; they share factors where the queries do.
        values: see `attend`; likewise.
        meetings: see `attend`.
    """
    from mer.heads.stacked.device.attention_kernels import attend_forward

    out = _room_like(queries, meetings)
    logs = torch.empty(len(queries.values), meetings.heads, dtype=torch.float32, device=queries.values.device)
    tiles, shape, options = _call(queries, meetings)
    launch(
        attend_forward, (len(tiles[0]), meetings.heads),
        *queries.pair, *keys.pair, *values.pair, queries.span, *out.pair, logs, tiles[0], *shape,
        reads=[*queries.tensors, *keys.tensors, *values.tensors, tiles[0]], writes=[*out.tensors, logs],
        flops=_flops(queries, meetings, 2), **options,
    )  # fmt: skip
    return out, logs


def owed_to_attention(
    given: tuple[Shared, Shared, Shared], out: Shared, logs: Float[Tensor, "queries heads"], gradient: Shared, meetings: Meetings
) -> tuple[Shared, Shared, Shared]:
    """The gradients of queries, keys and values.

    Args:
        given: queries, keys and values.
        out: what `attended` gave.
        logs: likewise.
        gradient: of `out`; it shares factors where the queries do, over the same spans.
        meetings: see `attend`.
    """
    from mer.heads.stacked.device.attention_kernels import attend_of_keys, attend_of_queries

    queries, keys, values = given
    found, of_keys, of_values = (_room_like(each, meetings) for each in given)
    means, (tiles, shape, options) = torch.empty_like(logs), _call(queries, meetings)
    rows = [*queries.tensors, *keys.tensors, *values.tensors, *gradient.tensors, logs]
    launch(
        attend_of_queries, (len(tiles[0]), meetings.heads),
        *queries.pair, *keys.pair, *values.pair, queries.span, *out.pair, *gradient.pair, logs, *found.pair, means,
        tiles[0], *shape,
        reads=[*rows, *out.tensors, tiles[0]], writes=[*found.tensors, means], flops=_flops(queries, meetings, 3), **options,
    )  # fmt: skip
    launch(
        attend_of_keys, (len(tiles[1]), meetings.heads),
        *queries.pair, *keys.pair, *values.pair, queries.span, *gradient.pair, logs, means,
        *of_keys.pair, *of_values.pair, tiles[1], *shape,
        reads=[*rows, means, tiles[1]], writes=[*of_keys.tensors, *of_values.tensors],
        flops=_flops(queries, meetings, 4), **options,
    )  # fmt: skip
    return found, of_keys, of_values


def _room_like(rows: Shared, meetings: Meetings) -> Shared:
    (count, dim), dtype = rows.values.shape, rows.values.dtype
    return room(count, dim, rows.values, dtype, shares=rows.shares, span=dim // meetings.heads)


def _call(queries: Shared, meetings: Meetings) -> tuple[list[Tensor], tuple[float, int, int], dict[str, Any]]:
    """Tiles of both sides, scale with heads and their width, and constants."""
    width = queries.values.shape[1] // meetings.heads
    padded = max(16, 1 << (width - 1).bit_length())
    options = {"PRECISION": meetings.path.dot, "ROWS": ROWS, "KEYS": ROWS, "WIDTH": padded}
    options |= {"SHARED": queries.shares, "BLOCK": min(SHARING, padded)}
    return meetings.tiles, (1 / math.sqrt(width), meetings.heads, width), options


def _flops(queries: Shared, meetings: Meetings, products: int) -> float:
    return 2.0 * products * meetings.scores * (queries.values.shape[1] // meetings.heads)


def _tiles(own: Int64[np.ndarray, " utterances"], other: Int64[np.ndarray, " utterances"]) -> Int64[np.ndarray, "tiles four"]:
    utterances, within = cut(own, ROWS)
    ends, last = np.cumsum(own)[utterances], np.cumsum(other)[utterances]
    return np.stack([ends - own[utterances] + ROWS * within, ends, last - other[utterances], last], 1)
