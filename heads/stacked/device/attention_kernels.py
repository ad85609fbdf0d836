"""Attention per attention head in Triton, of utterances of any lengths, without padding and without storing a score.

Queries, keys and values hold the attention heads side by side. A tile is some rows of one utterance on one side: first row, row
after the tile's last that the utterance has, and the rows of the other side: the first, and the one after the last.
Forward, a program takes a tile of queries and goes through all keys, with the maximum and the sum so far (Milakov and Gimelshein
2018). Backward, scores are computed again: one kernel goes through the keys of a tile of queries, one through the queries of a
tile of keys, so that every sum is made in one program and in one order. With SHARED everything but logs and means has factors:
what is read `span` values of a row together, what is made here the values of one attention head.
"""

from typing import no_type_check

import triton
import triton.language as tl

from mer.heads.stacked.device.linear_kernels import expanded, loaded, product, store_shared


@triton.jit
@no_type_check
def store_head(
    out, factors, rows, head, heads, width, total, there,
    SHARED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Store the values of one attention head of the rows that are `there`; with SHARED they are a span of their own."""
    spans, w = rows.to(tl.int64) * heads + head, tl.arange(0, WIDTH)
    if SHARED:
        store_shared(out, factors, spans, total, width, there, ROWS, WIDTH, BLOCK)
    else:
        tl.store(out + spans[:, None] * width + w[None, :], total, mask=there[:, None] & (w < width)[None, :])


@triton.jit
@no_type_check
def attend_forward(
    queries, query_factors, keys, key_factors, values, value_factors, span, out, out_factors, logs, tiles, scale, heads, width,
    SHARED: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """`softmax(scale q k^T) v` of a tile of queries and one head; `logs`: log of the sum of exponentials of a row's scores."""
    tile, head = tiles + 4 * tl.program_id(0), tl.program_id(1)
    start, end, first, last = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2), tl.load(tile + 3)
    rows, w = start + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    across = head * width + w
    inside = (rows < end)[:, None] & (w < width)[None, :]
    query = loaded(queries, query_factors, span, rows, across, heads * width, inside, SHARED)
    total, plain = tl.zeros((ROWS, WIDTH), tl.float32), tl.zeros((ROWS,), tl.float32)
    most = tl.full((ROWS,), -float("inf"), tl.float32)
    for taken in range(first, last, KEYS):
        others = taken + tl.arange(0, KEYS)
        known = (others < last)[:, None] & (w < width)[None, :]
        key = loaded(keys, key_factors, span, others, across, heads * width, known, SHARED)
        score = scale * product(query, tl.trans(key), tl.zeros((ROWS, KEYS), tl.float32), PRECISION)
        score = tl.where((others < last)[None, :], score, -float("inf"))
        higher = tl.maximum(most, tl.max(score, 1))
        share = tl.exp(score - higher[:, None])
        kept = tl.exp(most - higher)
        plain = plain * kept + tl.sum(share, 1)
        value = loaded(values, value_factors, span, others, across, heads * width, known, SHARED)
        total = product(share, value, total * kept[:, None], PRECISION)
        most = higher
    store_head(out, out_factors, rows, head, heads, width, total / plain[:, None], rows < end, SHARED, ROWS, WIDTH, BLOCK)
    tl.store(logs + rows.to(tl.int64) * heads + head, most + tl.log(plain), mask=rows < end)


@triton.jit
@no_type_check
def attend_of_queries(
    queries, query_factors, keys, key_factors, values, value_factors, span, out, out_factors, gradient, factors, logs,
    found, found_factors, means, tiles, scale, heads, width,
    SHARED: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The gradient of a tile of queries; `means`: what all gradients of a row's scores owe to the sum of its shares."""
    tile, head = tiles + 4 * tl.program_id(0), tl.program_id(1)
    start, end, first, last = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2), tl.load(tile + 3)
    rows, w = start + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    across = head * width + w
    inside = (rows < end)[:, None] & (w < width)[None, :]
    query = loaded(queries, query_factors, span, rows, across, heads * width, inside, SHARED)
    came = loaded(gradient, factors, span, rows, across, heads * width, inside, SHARED)
    gave = expanded(out, out_factors, width, rows, across, heads * width, inside, SHARED)
    place = rows.to(tl.int64) * heads + head
    mean, log = tl.sum(gave * came.to(tl.float32), 1), tl.load(logs + place, mask=rows < end, other=0.0)
    tl.store(means + place, mean, mask=rows < end)
    total = tl.zeros((ROWS, WIDTH), tl.float32)
    for taken in range(first, last, KEYS):
        others = taken + tl.arange(0, KEYS)
        known = (others < last)[:, None] & (w < width)[None, :]
        key = loaded(keys, key_factors, span, others, across, heads * width, known, SHARED)
        value = loaded(values, value_factors, span, others, across, heads * width, known, SHARED)
        score = scale * product(query, tl.trans(key), tl.zeros((ROWS, KEYS), tl.float32), PRECISION)
        share = tl.where((others < last)[None, :], tl.exp(score - log[:, None]), 0.0)
        owed = share * (product(came, tl.trans(value), tl.zeros((ROWS, KEYS), tl.float32), PRECISION) - mean[:, None])
        total = product(owed, key, total, PRECISION)
    store_head(found, found_factors, rows, head, heads, width, scale * total, rows < end, SHARED, ROWS, WIDTH, BLOCK)


@triton.jit
@no_type_check
def attend_of_keys(
    queries, query_factors, keys, key_factors, values, value_factors, span, gradient, factors, logs, means,
    of_keys, of_keys_factors, of_values, of_values_factors, tiles, scale, heads, width,
    SHARED: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The gradients of a tile of keys and of their values; here the tiles are of keys, and the other side are the queries."""
    tile, head = tiles + 4 * tl.program_id(0), tl.program_id(1)
    start, end, first, last = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2), tl.load(tile + 3)
    others, w = start + tl.arange(0, KEYS), tl.arange(0, WIDTH)
    across = head * width + w
    known = (others < end)[:, None] & (w < width)[None, :]
    key = loaded(keys, key_factors, span, others, across, heads * width, known, SHARED)
    value = loaded(values, value_factors, span, others, across, heads * width, known, SHARED)
    of_key, of_value = tl.zeros((KEYS, WIDTH), tl.float32), tl.zeros((KEYS, WIDTH), tl.float32)
    for taken in range(first, last, ROWS):
        rows = taken + tl.arange(0, ROWS)
        inside = (rows < last)[:, None] & (w < width)[None, :]
        query = loaded(queries, query_factors, span, rows, across, heads * width, inside, SHARED)
        came = loaded(gradient, factors, span, rows, across, heads * width, inside, SHARED)
        place = rows.to(tl.int64) * heads + head
        log, mean = tl.load(logs + place, mask=rows < last, other=0.0), tl.load(means + place, mask=rows < last, other=0.0)
        score = scale * product(key, tl.trans(query), tl.zeros((KEYS, ROWS), tl.float32), PRECISION)
        share = tl.where((rows < last)[None, :], tl.exp(score - log[None, :]), 0.0)
        of_value = product(share, came, of_value, PRECISION)
        owed = share * (product(value, tl.trans(came), tl.zeros((KEYS, ROWS), tl.float32), PRECISION) - mean[None, :])
        of_key = product(owed, query, of_key, PRECISION)
    store_head(of_keys, of_keys_factors, others, head, heads, width, scale * of_key, others < end, SHARED, KEYS, WIDTH, BLOCK)
    store_head(of_values, of_values_factors, others, head, heads, width, of_value, others < end, SHARED, KEYS, WIDTH, BLOCK)
