"""An `AttentionLayer` whose parameters are those of all runs of a stack, by kernels; see `attention` for what is computed."""

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.fusion.attention import AttentionLayer
from mer.heads.fusion.head import StackedUnits, SummedUnits
from mer.heads.stacked.device.attention import Meetings, attend
from mer.heads.stacked.device.draws import Draws
from mer.heads.stacked.device.feed_forward import Utterances, feed_forward, mean_after_feed_forward
from mer.heads.stacked.device.linear import After, linked_linear, stacked_linear
from mer.heads.stacked.device.norm import stacked_norm
from mer.heads.stacked.device.normed import Normed
from mer.heads.stacked.device.projection import AttentionWeights
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.dropout import Generators, dropped_of
from mer.heads.stacked.layer_average import LayerAverage

Units = Normed
"""Units of a stack between two layers."""


def units_of(average: LayerAverage, units: StackedUnits, *, shares: bool = False) -> Units:
    """Units of all runs with the gain and bias of their layer average; `shares` as for `feed_forward`."""
    if not isinstance(units, SummedUnits):
        raise TypeError(f"kernels compute layer averages of features on a device, not {type(units).__name__}")
    return units.sums.normed(average.gain, average.bias, shares=shares)


def weights_of(layer: AttentionLayer) -> AttentionWeights:
    """What leads to `LN(u + a)`."""
    made = layer.wq, layer.bq, layer.wk, layer.wv, layer.bv, layer.wo, layer.bo
    return AttentionWeights(*made, layer.gain1, layer.bias1)


def self_attention(layer: AttentionLayer, units: Units, meetings: Meetings, rows: RunRows) -> Units:
    """`LN(u + a)` of every unit, see `attention.self_attention`."""
    query, units = linked_linear(units, layer.wq, layer.bq, rows)
    key, units = linked_linear(units, layer.wk, torch.zeros_like(layer.bv), rows)
    value, units = linked_linear(units, layer.wv, layer.bv, rows)
    attended = stacked_linear(attend(query, key, value, meetings), layer.wo, layer.bo, rows)
    return stacked_norm(units, layer.gain1, layer.bias1, rows, added=attended)


def after_attention(layer: AttentionLayer, units: Units, generators: Generators, rows: RunRows, *, shares: bool = False) -> Units:
    """`out` from `x`, see `AttentionLayer`; `shares` as for `feed_forward`."""
    return feed_forward(units, *_feed_forward(layer), rows, _after(layer, generators), shares=shares)


def mean_after_attention(
    layer: AttentionLayer, units: Units, generators: Generators, rows: RunRows, utterances: Utterances
) -> Float[Tensor, "utterances dim"]:
    """The mean of `after_attention` over the units of each utterance."""
    return mean_after_feed_forward(units, *_feed_forward(layer), rows, _after(layer, generators), utterances)


def _feed_forward(layer: AttentionLayer) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (layer.w1, layer.b1), (layer.w2, layer.b2), (layer.gain2, layer.bias2)


def _after(layer: AttentionLayer, generators: Generators) -> After:
    dropped = dropped_of(layer.dropout)
    draws = generators if isinstance(generators, Draws) and dropped else None
    return After(relu=True, dropped=dropped, draws=draws)
