"""One layer of a transformer encoder whose queries and keys may come from two sequences, of many runs at once."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.errors import HeadError
from mer.heads.fusion.linear_branch import uniform_linear
from mer.heads.stacked.dropout import Generators, grouped_dropout, grouped_relu_dropout
from mer.heads.stacked.grouped import grouped_layer_norm, grouped_linear
from mer.heads.stacked.sequence_pairs import PaddedSide

# Padded length from which a CPU computes the scores of self-attention in cache-sized tiles and never keeps them. The plain
# form writes each score several times, which costs more than it saves once the scores of an utterance leave the cache.
# Only on a CPU: there the fused kernel also computes in the order that it computed in before, at every call.
FUSED_FROM = 64

LEAST_PER_HEAD = 32
"""Values of an attention head below which scores are noise, and cost more than the products they are made of."""


class AttentionLayer(nn.Module):
    r"""Parameters of one run's layer (Zhao 2022, section 2.3; Vaswani et al. 2017, sections 3.1 to 3.3).

    With Q = Wq u + bq for the querying units u, K = Wk v and V = Wv v + bv for the units v that are attended to,

        a = Wo softmax(Q K^T / sqrt(d)) V + bo    (per attention head, d values of it; the heads concatenated)
        x = LN(u + a)
        out = LN(x + W2 ReLU(W1 x + b1) + b2),

    with dropout after both feed-forward layers. The paper's bias of the keys, b_7, is left out: it adds the same
    number to all scores of a query, which the softmax takes away again, so it would never be trained.
    """

    def __init__(self, *, dim: int, attention_heads: int, feed_forward: int, dropout: float, generator: torch.Generator) -> None:
        """Make the parameters.

        Args:
            dim: values per unit.
            attention_heads: a divisor of `dim`.
            feed_forward: width between the two feed-forward layers.
            dropout: probability of zeroing a value after each feed-forward layer while training.
            generator: draws the initial weights; the global generator is never used.

        Raises:
            HeadError: a number of attention heads that does not divide `dim`.
        """
        super().__init__()
        if attention_heads < 1 or dim % attention_heads:
            divisors = ", ".join(str(number) for number in range(1, dim + 1) if dim % number == 0)
            raise HeadError(f"{attention_heads} attention heads do not divide units of {dim} values: choose one of {divisors}")
        self.attention_heads = attention_heads
        self.dropout = dropout
        self.wq, self.wk, self.wv, self.wo = (glorot(dim, dim, generator) for _ in range(4))
        self.bq, self.bv, self.bo = (nn.Parameter(torch.zeros(dim)) for _ in range(3))
        self.w1, self.b1 = uniform_linear(feed_forward, dim, generator)
        self.w2, self.b2 = uniform_linear(dim, feed_forward, generator)
        self.gain1, self.gain2 = (nn.Parameter(torch.ones(dim)) for _ in range(2))
        self.bias1, self.bias2 = (nn.Parameter(torch.zeros(dim)) for _ in range(2))


def default_attention_heads(dim: int) -> int:
    """Eight, as at the width of base encoders; fewer where a head would have less than `LEAST_PER_HEAD` values.

    Args:
        dim: values per unit.
    """
    return next(heads for heads in (8, 4, 2, 1) if heads == 1 or (dim % heads == 0 and dim >= heads * LEAST_PER_HEAD))


def self_attention(
    layers: Sequence[AttentionLayer], units: Float[Tensor, "units dim"], side: PaddedSide, sizes: Sequence[int]
) -> Float[Tensor, "units dim"]:
    """`a` of every unit, attending to the units of its own utterance.

    Args:
        layers: one per run.
        units: packed, run after run.
        side: the buckets of both queries and keys.
        sizes: units of each run.
    """
    heads = layers[0].attention_heads
    weights = [torch.cat([layer.wq * _scale(layer), layer.wk, layer.wv]) for layer in layers]
    biases = [torch.cat([layer.bq * _scale(layer), torch.zeros_like(layer.bq), layer.bv]) for layer in layers]
    projected = side.pad(grouped_linear(units, weights, biases, sizes))
    found = [attend_within(bucket, penalty, heads) for bucket, penalty in zip(projected, side.penalties(units), strict=True)]
    return grouped_linear(side.pack(found), [layer.wo for layer in layers], [layer.bo for layer in layers], sizes)


def attend_within(
    projected: Float[Tensor, "utterances longest three_dims"], penalty: Float[Tensor, "utterances longest"], heads: int
) -> Float[Tensor, "utterances longest _"]:
    """softmax(Q K^T / sqrt(d)) V of the utterances of one bucket, per attention head; the heads side by side.

    Args:
        projected: Q / sqrt(d), K and V side by side.
        penalty: added to all scores of a unit that is attended to: 0, or minus infinity where it only fills up.
        heads: attention heads.
    """
    utterances, longest, width = projected.shape
    # (3, utterances, heads, longest, dim / heads)
    query, key, value = projected.view(utterances, longest, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    added = penalty[:, None, None]
    if projected.device.type == "cpu" and longest >= FUSED_FROM:
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=added, scale=1.0)
    else:
        attended = (query @ key.transpose(2, 3) + added).softmax(3) @ value
    return attended.transpose(1, 2).flatten(2)


def attend_to_few(
    layers: Sequence[AttentionLayer],
    queries: Float[Tensor, "queries dim"],
    keys: Float[Tensor, "keys dim"],
    sides: tuple[PaddedSide, PaddedSide],
    sizes: tuple[Sequence[int], Sequence[int]],
) -> Float[Tensor, "queries dim"]:
    """`a` of every query, where an utterance has few keys: nothing is projected per query.

    Per attention head, (Wq u + bq)^T k = u^T (Wq^T k) + bq^T k, and Wo sum_k p_k v_k = sum_k p_k (Wo v_k): both
    products with dim x dim matrices move from the queries to the keys. A query then costs
    heads x keys x dim multiplications instead of dim x dim, twice.

    Args:
        layers: one per run.
        queries: packed, run after run.
        keys: what they attend to, packed likewise.
        sides: buckets of the queries and of the keys.
        sizes: units of each run, queries and keys.
    """
    heads, dim = layers[0].attention_heads, queries.shape[1]
    no_bias = torch.zeros_like(layers[0].bv)
    key = grouped_linear(keys, [layer.wk * _scale(layer) for layer in layers], [no_bias] * len(layers), sizes[1])
    value = grouped_linear(keys, [layer.wv for layer in layers], [layer.bv for layer in layers], sizes[1])
    directions = sides[1].pad(_per_head(key, [_rows_of_heads(layer.wq, heads) for layer in layers], sizes[1]))
    offsets = sides[1].pad(_per_head(key, [layer.bq.view(heads, -1, 1) for layer in layers], sizes[1]))
    outputs = sides[1].pad(_per_head(value, [_columns_of_heads(layer.wo, heads) for layer in layers], sizes[1]))
    penalties = sides[1].penalties(queries)
    found = []
    for bucket, unit in enumerate(sides[0].pad(queries)):
        utterances, longest, _ = unit.shape
        columns = (utterances, -1, dim)  # key after key, the heads of a key together
        offset = (offsets[bucket] + penalties[bucket][:, :, None]).view(utterances, 1, -1)
        scores = torch.baddbmm(offset, unit, directions[bucket].view(columns).transpose(1, 2))
        shares = scores.view(utterances, longest, -1, heads).softmax(2).view(scores.shape)
        found.append(shares @ outputs[bucket].view(columns))
    return _shifted(sides[0].pack(found), [layer.bo for layer in layers], sizes[0])


def attend_to_many(
    layers: Sequence[AttentionLayer],
    queries: Float[Tensor, "queries dim"],
    keys: Float[Tensor, "keys dim"],
    sides: tuple[PaddedSide, PaddedSide],
    sizes: tuple[Sequence[int], Sequence[int]],
) -> Float[Tensor, "queries dim"]:
    """`a` of every query, where an utterance has few queries: nothing is projected per key.

    Per attention head, q^T (Wk v) = (Wk^T q)^T v, and sum_v p_v (Wv v + bv) = Wv (sum_v p_v v) + bv because the
    p_v sum to one: both products with dim x dim matrices move from the keys to the queries.

    Args:
        layers: one per run.
        queries: packed, run after run.
        keys: what they attend to, packed likewise.
        sides: buckets of the queries and of the keys.
        sizes: units of each run, queries and keys.
    """
    heads, dim = layers[0].attention_heads, queries.shape[1]
    scaled = [layer.wq * _scale(layer) for layer in layers], [layer.bq * _scale(layer) for layer in layers]
    query = grouped_linear(queries, *scaled, sizes[0])
    directions = sides[0].pad(_per_head(query, [_rows_of_heads(layer.wk, heads) for layer in layers], sizes[0]))
    found = []
    for direction, unit, penalty in zip(directions, sides[1].pad(keys), sides[1].penalties(keys), strict=True):
        rows = direction.view(direction.shape[0], -1, dim)  # query after query, the heads of a query together
        shares = torch.baddbmm(penalty[:, None], rows, unit.transpose(1, 2)).softmax(2)
        found.append((shares @ unit).view(direction.shape))
    context = sides[0].pack(found)
    value = _per_head(context, [_rows_of_heads(layer.wv, heads).transpose(1, 2) for layer in layers], sizes[0])
    value = _shifted(value, [layer.bv for layer in layers], sizes[0])
    return grouped_linear(value, [layer.wo for layer in layers], [layer.bo for layer in layers], sizes[0])


def after_attention(
    layers: Sequence[AttentionLayer],
    queries: Float[Tensor, "queries dim"],
    attended: Float[Tensor, "queries dim"],
    generators: Generators,
    sizes: Sequence[int],
) -> Float[Tensor, "queries dim"]:
    """`out` from `a`: both residual links, both normalisations and the feed-forward layers.

    Args:
        layers: one per run.
        queries: the layer's input u.
        attended: a.
        generators: draw each run's dropout; None evaluates without.
        sizes: units of each run.
    """
    dropout = layers[0].dropout
    x = grouped_layer_norm(queries + attended, [layer.gain1 for layer in layers], [layer.bias1 for layer in layers], sizes)
    hidden = grouped_linear(x, [layer.w1 for layer in layers], [layer.b1 for layer in layers], sizes)
    hidden = grouped_relu_dropout(hidden, dropout, generators, sizes)
    hidden = grouped_linear(hidden, [layer.w2 for layer in layers], [layer.b2 for layer in layers], sizes)
    hidden = grouped_dropout(hidden, dropout, generators, sizes)
    return grouped_layer_norm(x + hidden, [layer.gain2 for layer in layers], [layer.bias2 for layer in layers], sizes)


def glorot(outputs: int, inputs: int, generator: torch.Generator) -> nn.Parameter:
    """A weight from U(-sqrt(6 / (inputs + outputs)), ...) (Glorot and Bengio 2010, eq. 16)."""
    bound = math.sqrt(6 / (inputs + outputs))
    return nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator))


def _scale(layer: AttentionLayer) -> float:
    return math.sqrt(layer.attention_heads / layer.bq.shape[0])


def _rows_of_heads(weight: Float[Tensor, "dim inputs"], heads: int) -> Float[Tensor, "heads width inputs"]:
    """The rows of a projection that make each head's values."""
    return weight.view(heads, -1, weight.shape[1])


def _columns_of_heads(weight: Float[Tensor, "outputs dim"], heads: int) -> Float[Tensor, "heads width outputs"]:
    """The columns of the output projection that meet each head's values, transposed."""
    return weight.view(weight.shape[0], heads, -1).permute(1, 2, 0)


def _per_head(
    values: Float[Tensor, "rows heads_inputs"],
    weights: Sequence[Float[Tensor, "heads inputs outputs"]],
    sizes: Sequence[int],
) -> Float[Tensor, "rows heads_outputs"]:
    """For each row of run r and each head h, `x_h W_rh`; the heads follow one another in input and output."""
    heads, inputs, _ = weights[0].shape
    parts = values.view(-1, heads, inputs).transpose(0, 1).split(list(sizes), 1)
    products = [torch.bmm(part, weight) for part, weight in zip(parts, weights, strict=True)]
    return torch.cat(products, 1).transpose(0, 1).flatten(1)


def _shifted(
    values: Float[Tensor, "rows dim"], biases: Sequence[Float[Tensor, " dim"]], sizes: Sequence[int]
) -> Float[Tensor, "rows dim"]:
    """`x + bias_r` for the rows of each run r."""
    return torch.cat([part + bias for part, bias in zip(values.split(list(sizes)), biases, strict=True)])
