"""An `AttentionLayer` whose parameters are those of all runs of a stack, by kernels; see `attention` for what is computed."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.fusion.attention import AttentionLayer
from mer.heads.stacked.device.attention import Meetings, attend
from mer.heads.stacked.device.draws import Draws
from mer.heads.stacked.device.linear import After, feed_forward, linked_linear, stacked_linear
from mer.heads.stacked.device.norm import stacked_norm
from mer.heads.stacked.device.pairs import Pairs, attend_columns, attend_rows
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.dropout import Generators, dropped_of

Units = Float[Tensor, "_ dim"]


def attend_to_few(layer: AttentionLayer, queries: Units, keys: Units, pairs: Pairs, rows: RunRows) -> tuple[Units, Units]:
    """`a` of every query, see `attention.attend_to_few`, and the queries for their next use; `rows` are those of the keys."""
    heads, dim, none = layer.attention_heads, queries.shape[1], torch.zeros_like(layer.bv)
    key = stacked_linear(keys, layer.wk, none, rows) * _scale(layer)
    value = stacked_linear(keys, layer.wv, layer.bv, rows)
    directions = _per_head(key, _by_head(layer.wq, heads).transpose(2, 3), None, rows)
    offsets = _per_head(key, layer.bq.view(len(layer.bq), heads, 1, -1), None, rows)
    # The shares of each head sum to one: together its parts of the bias are the bias.
    bias = (layer.bo / heads)[:, None].expand(-1, heads, -1)
    outputs = _per_head(value, layer.wo.view(len(layer.wo), dim, heads, -1).transpose(1, 2), bias, rows)
    return attend_rows(queries, directions.view(-1, dim), offsets.view(-1), outputs.view(-1, dim), pairs)


def attend_to_many(layer: AttentionLayer, queries: Units, keys: Units, pairs: Pairs, rows: RunRows) -> tuple[Units, Units]:
    """`a` of every query, see `attention.attend_to_many`, and the keys for their next use; `rows` are those of the queries."""
    heads, dim = layer.attention_heads, queries.shape[1]
    query = stacked_linear(queries, layer.wq, layer.bq, rows) * _scale(layer)
    directions = _per_head(query, _by_head(layer.wk, heads).transpose(2, 3), None, rows)
    context, keys = attend_columns(keys, directions.view(-1, dim), pairs)
    value = _per_head(context.view(len(queries), -1), _by_head(layer.wv, heads), layer.bv.view(len(layer.bv), heads, -1), rows)
    return stacked_linear(value, layer.wo, layer.bo, rows), keys


def attend_plainly(
    layer: AttentionLayer, queries: Units, keys: Units, meetings: Meetings, rows: tuple[RunRows, RunRows]
) -> tuple[Units, Units, Units]:
    """`a` of every query as the equation has it, and both for their next use; `rows` are those of queries and of keys."""
    query, queries = linked_linear(queries, layer.wq, layer.bq, rows[0])
    key, keys = linked_linear(keys, layer.wk, torch.zeros_like(layer.bv), rows[1])
    value, keys = linked_linear(keys, layer.wv, layer.bv, rows[1])
    return stacked_linear(attend(query, key, value, meetings), layer.wo, layer.bo, rows[0]), queries, keys


def self_attention(layer: AttentionLayer, units: Units, meetings: Meetings, rows: RunRows) -> tuple[Units, Units]:
    """`a` of every unit, see `attention.self_attention`, and the units for their next use."""
    query, units = linked_linear(units, layer.wq, layer.bq, rows)
    key, units = linked_linear(units, layer.wk, torch.zeros_like(layer.bv), rows)
    value, units = linked_linear(units, layer.wv, layer.bv, rows)
    return stacked_linear(attend(query, key, value, meetings), layer.wo, layer.bo, rows), units


def after_attention(layer: AttentionLayer, queries: Units, attended: Units, generators: Generators, rows: RunRows) -> Units:
    """`out` from `a`, see `attention.after_attention`."""
    dropped = dropped_of(layer.dropout)
    draws = generators if isinstance(generators, Draws) and dropped else None
    x = stacked_norm(queries, layer.gain1, layer.bias1, rows, added=attended)
    first, second = (layer.w1, layer.b1), (layer.w2, layer.b2)
    hidden, x = feed_forward(x, first, second, rows, After(relu=True, dropped=dropped, draws=draws))
    return stacked_norm(x, layer.gain2, layer.bias2, rows, added=hidden, after=After(dropped=dropped, draws=draws))


def _scale(layer: AttentionLayer) -> float:
    return math.sqrt(layer.attention_heads / layer.bq.shape[-1])


def _by_head(weight: Float[Tensor, "runs dim inputs"], heads: int) -> Float[Tensor, "runs heads width inputs"]:
    return weight.view(len(weight), heads, -1, weight.shape[2])


def _per_head(
    values: Float[Tensor, "rows heads_inputs"],
    weights: Float[Tensor, "runs heads outputs inputs"],
    biases: Float[Tensor, "runs heads outputs"] | None,
    rows: RunRows,
) -> Float[Tensor, "rows heads_outputs"]:
    none = weights.new_zeros(weights.shape[:3]) if biases is None else biases
    return stacked_linear(values, weights, none, rows)
