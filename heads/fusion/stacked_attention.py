"""An `AttentionLayer` whose parameters are those of all runs of a stack, by kernels; see `attention` for what is computed."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.fusion.attention import AttentionLayer
from mer.heads.fusion.head import StackedUnits, SummedUnits
from mer.heads.stacked.device.attention import Meetings, attend
from mer.heads.stacked.device.draws import Draws
from mer.heads.stacked.device.feed_forward import feed_forward
from mer.heads.stacked.device.linear import After, linked_linear, stacked_linear
from mer.heads.stacked.device.norm import stacked_norm
from mer.heads.stacked.device.normed import Normed
from mer.heads.stacked.device.pairs import Pairs, attend_both_ways
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.dropout import Generators, dropped_of
from mer.heads.stacked.layer_average import LayerAverage

Units = Normed
"""Units of a stack between two layers."""
Attended = Float[Tensor, "_ dim"]


def units_of(average: LayerAverage, units: StackedUnits) -> Units:
    """Units of all runs with the gain and bias of their layer average."""
    if not isinstance(units, SummedUnits):
        raise TypeError(f"kernels compute layer averages of features on a device, not {type(units).__name__}")
    return units.sums.normed(average.gain, average.bias)


def attend_by_few(
    layers: tuple[AttentionLayer, AttentionLayer], units: Units, few: Units, pairs: Pairs, rows: tuple[RunRows, RunRows]
) -> tuple[Units, Units]:
    """`LN(u + a)` of the units and of the few, see `attention.attend_to_few` and `attend_to_many`.

    Args:
        layers: in which the units attend to the few, and in which the few attend to the units.
        units: the longer side.
        few: the shorter side.
        pairs: who meets whom.
        rows: of both sides.
    """
    (one, other), (heads, dim) = layers, (layers[0].attention_heads, units.values.shape[1])
    key, few = linked_linear(few, one.wk, torch.zeros_like(one.bv), rows[1])
    value, few = linked_linear(few, one.wv, one.bv, rows[1])
    query, few = linked_linear(few, other.wq, other.bq, rows[1])
    directions = _per_head(key, _by_head(one.wq, heads).transpose(2, 3), None, rows[1])
    offsets = _per_head(key, one.bq.view(len(one.bq), heads, 1, -1), None, rows[1])
    # The shares of each head sum to one: together its parts of the bias are the bias.
    bias = (one.bo / heads)[:, None].expand(-1, heads, -1)
    outputs = _per_head(value, one.wo.view(len(one.wo), dim, heads, -1).transpose(1, 2), bias, rows[1])
    queries = _per_head(query, _by_head(other.wk, heads).transpose(2, 3), None, rows[1])
    per_column = directions.view(-1, dim), offsets.view(-1), outputs.view(-1, dim), queries.view(-1, dim)
    units, context = attend_both_ways(units, per_column, (one.gain1, one.bias1), pairs, rows[0])
    bias = other.bv.view(len(other.bv), heads, -1)
    value = _per_head(context.view(len(query), -1), _by_head(other.wv, heads), bias, rows[1])
    attended = stacked_linear(value, other.wo, other.bo, rows[1])
    return units, stacked_norm(few, other.gain1, other.bias1, rows[1], added=attended)


def attend_plainly(
    layers: tuple[AttentionLayer, AttentionLayer],
    units: Units,
    others: Units,
    meetings: Sequence[Meetings],
    rows: tuple[RunRows, RunRows],
) -> tuple[Units, Units]:
    """`LN(u + a)` of two sides that attend to each other as the equation has it.

    Args:
        layers: in which the units attend to the others, and in which the others attend to the units.
        units: one side.
        others: the other side.
        meetings: of the units with the others, and of the others with the units.
        rows: of both sides.
    """
    attended, units, others = _attended(layers[0], units, others, meetings[0], rows)
    back, others, units = _attended(layers[1], others, units, meetings[1], (rows[1], rows[0]))
    units = stacked_norm(units, layers[0].gain1, layers[0].bias1, rows[0], added=attended)
    return units, stacked_norm(others, layers[1].gain1, layers[1].bias1, rows[1], added=back)


def _attended(
    layer: AttentionLayer, queries: Units, keys: Units, meetings: Meetings, rows: tuple[RunRows, RunRows]
) -> tuple[Attended, Units, Units]:
    """`a` of every query, and both for their next use."""
    query, queries = linked_linear(queries, layer.wq, layer.bq, rows[0])
    key, keys = linked_linear(keys, layer.wk, torch.zeros_like(layer.bv), rows[1])
    value, keys = linked_linear(keys, layer.wv, layer.bv, rows[1])
    return stacked_linear(attend(query, key, value, meetings), layer.wo, layer.bo, rows[0]), queries, keys


def self_attention(layer: AttentionLayer, units: Units, meetings: Meetings, rows: RunRows) -> Units:
    """`LN(u + a)` of every unit, see `attention.self_attention`."""
    query, units = linked_linear(units, layer.wq, layer.bq, rows)
    key, units = linked_linear(units, layer.wk, torch.zeros_like(layer.bv), rows)
    value, units = linked_linear(units, layer.wv, layer.bv, rows)
    attended = stacked_linear(attend(query, key, value, meetings), layer.wo, layer.bo, rows)
    return stacked_norm(units, layer.gain1, layer.bias1, rows, added=attended)


def after_attention(layer: AttentionLayer, units: Units, generators: Generators, rows: RunRows, *, shares: bool = False) -> Units:
    """`out` from `x`, see `AttentionLayer`; `shares` as for `feed_forward`."""
    dropped = dropped_of(layer.dropout)
    draws = generators if isinstance(generators, Draws) and dropped else None
    first, second, norm = (layer.w1, layer.b1), (layer.w2, layer.b2), (layer.gain2, layer.bias2)
    return feed_forward(units, first, second, norm, rows, After(relu=True, dropped=dropped, draws=draws), shares=shares)


def _by_head(weight: Float[Tensor, "runs dim inputs"], heads: int) -> Float[Tensor, "runs heads width inputs"]:
    return weight.view(len(weight), heads, -1, weight.shape[2])


def _per_head(
    values: Float[Tensor, "rows heads_inputs"],
    weights: Float[Tensor, "runs heads outputs inputs"],
    biases: Float[Tensor, "runs heads outputs"] | None,
    rows: RunRows,
) -> Float[Tensor, "rows heads_outputs"]:
    none = torch.zeros(weights.shape[:3], device=weights.device) if biases is None else biases
    return stacked_linear(values, weights, none, rows)
