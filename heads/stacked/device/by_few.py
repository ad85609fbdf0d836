"""Two sequences of each utterance of a stack that attend to each other, where one of them has few units.

Nothing is projected per unit of the other one, see `fusion.attention.attend_to_few` and `attend_to_many`.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mer.heads.stacked.device.norm import normalise, owed_of
from mer.heads.stacked.device.normed import Affine, Normed, link_like, normed, parts_of
from mer.heads.stacked.device.pairs import Pairs
from mer.heads.stacked.device.projection import FIRST_WEIGHT, WEIGHTS, AttentionWeights, Projection
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.device.shared import Shared, gradient_of, kept


def attend_by_few(
    units: Normed, few: Normed, layers: tuple[AttentionWeights, AttentionWeights], pairs: Pairs, rows: tuple[RunRows, RunRows]
) -> tuple[Normed, Normed]:
    """`gain_r LN(u + a) + bias_r` of both sides.

    Args:
        units: the longer side.
        few: the shorter side, of which each unit is a column for every attention head.
        layers: by which the units attend to the few, and the few to the units.
        pairs: who meets whom.
        rows: of both sides.

    What is given is for one reader, whose gradient shares factors, where the path shares factors.
    """
    (one, other), given = layers, (*parts_of(units, flat=True), *parts_of(few, flat=True))
    made = _ByFew.apply(*given, *one, *other, pairs, rows)  # type: ignore[no-untyped-call]
    return normed(made[:2], one.gain, one.bias), normed(made[2:], other.gain, other.bias)


class _Layers(NamedTuple):
    """All are products of the few, or of what there is for each of their columns."""

    key: Projection
    value: Projection
    query: Projection
    directions: Projection
    """What units are compared with, of a key."""
    offsets: Projection
    """What is added to these scores, of a key."""
    outputs: Projection
    """What units get, of a value."""
    queries: Projection
    """What units are compared with, of a query."""
    values: Projection
    """What makes values of the units that a column has added up."""
    attended: Projection
    """What the few get."""


def _layers(one: AttentionWeights, other: AttentionWeights, heads: int, rows: RunRows, wanted: tuple[bool, ...]) -> _Layers:
    runs, dim, _ = one.wq.shape
    nothing = torch.zeros(runs * heads * dim, device=one.wq.device)
    plain, per_head = nothing[: runs * dim].view(runs, dim), nothing.view(runs, heads, dim)
    first, second = (dict(zip(AttentionWeights._fields, part, strict=True)) for part in (wanted[:WEIGHTS], wanted[WEIGHTS:]))

    def by_head(weights: Tensor) -> Tensor:
        """Runs, heads, width, inputs."""
        return weights.view(runs, heads, -1, dim)

    # The shares of each head sum to one: together its parts of the bias are the bias.
    bias = (one.bo / heads)[:, None].expand(-1, heads, -1)
    outputs = one.wo.view(runs, dim, heads, -1).transpose(1, 2)
    offsets = one.bq.view(runs, heads, 1, -1), nothing[: runs * heads].view(runs, heads, 1)
    return _Layers(
        key=Projection(one.wk, one.wk, plain, rows, wanted=first["wk"]),
        value=Projection(one.wv, one.wv, one.bv, rows, wanted=first["wv"]),
        query=Projection(other.wq, other.wq, other.bq, rows, wanted=second["wq"]),
        directions=Projection(one.wq, by_head(one.wq).transpose(2, 3), per_head, rows, wanted=first["wq"]),
        offsets=Projection(one.bq, *offsets, rows, wanted=first["bq"]),
        outputs=Projection(one.wo, outputs, bias, rows, wanted=first["wo"]),
        queries=Projection(other.wk, by_head(other.wk).transpose(2, 3), per_head, rows, wanted=second["wk"]),
        values=Projection(other.wv, by_head(other.wv), other.bv.view(runs, heads, -1), rows, wanted=second["wv"]),
        attended=Projection(other.wo, other.wo, other.bo, rows, wanted=second["wo"]),
    )


class _ByFew(torch.autograd.Function):
    """Units are read once for the scores of both, and once for the gradients of both kinds of directions."""

    @staticmethod
    def forward(
        ctx: Any, link: Tensor, values: Tensor, affine: Affine, few_link: Tensor, few: Tensor, few_affine: Affine,
        *more: Any,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        *weights, pairs, (rows, columns) = more
        if affine is None or few_affine is None:
            raise TypeError("rows that attend are normalised ones")
        one, other = AttentionWeights(*weights[:WEIGHTS]), AttentionWeights(*weights[WEIGHTS:])
        layers = _layers(one, other, pairs.heads, columns, ctx.needs_input_grad[FIRST_WEIGHT : FIRST_WEIGHT + 2 * WEIGHTS])
        count, scale = len(few) * pairs.heads, math.sqrt(pairs.heads / values.shape[1])
        key, value, query = (layer(few, few_affine) for layer in layers[:3])
        directions, outputs = layers.directions(key).as_rows(count), layers.outputs(value).as_rows(count)
        queries, offsets = layers.queries(query).as_rows(count), layers.offsets(key, shares=False).values.view(-1)
        to_columns, to_rows = pairs.score(values, directions, affine, offsets, queries, scale)
        shares, back = pairs.share(to_columns, over_rows=False), pairs.share(to_rows, over_rows=True)
        (context,) = pairs.columns([back], values, columns.dtype, affine)
        normal, deviations = pairs.normalise(shares, outputs, values, affine)
        of_values = layers.values(context.as_rows(len(few)))
        found = normalise(few, few_affine, columns, added=layers.attended(of_values))
        ctx.layers, ctx.pairs, ctx.rows, ctx.affine, ctx.few_affine = layers, pairs, (rows, columns), affine, few_affine
        ctx.scale, ctx.flat, ctx.dtypes = scale, (link.ndim == 1, few_link.ndim == 1), (link.dtype, few_link.dtype)
        between = key, value, query, directions, outputs, queries, context, of_values
        ctx.kept = [kept(each) for each in between]
        own = values, few, normal, found.values, deviations, found.deviations, shares, back, one.gain, other.gain
        ctx.save_for_backward(*own, *(each.gradient for each in between))
        ctx.mark_non_differentiable(normal, found.values)
        ctx.set_materialize_grads(False)
        share = pairs.path.shares
        few_given = link_like(few, columns.dtype, shares=share)
        return normal, link_like(values, rows.dtype, shares=share), found.values, few_given

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        values, few, normal, few_normal, deviations, few_deviations, shares, back, gain, few_gain, *between = ctx.saved_tensors
        pairs, (rows, columns), layers, share = ctx.pairs, ctx.rows, ctx.layers, ctx.pairs.path.shares
        key, value, query, directions, outputs, queries, context, of_values = (
            each.found(tensor) for each, tensor in zip(ctx.kept, between, strict=True)
        )
        count, dtype = len(directions.values), columns.dtype

        def per_few(rows: Shared) -> Shared:
            """The same with all columns of a unit in one row."""
            return rows.as_rows(len(few))

        owed_few, *few_norm = owed_of(gradient_of(few, gradients[3]), few_normal, few_deviations, few_gain, columns, shares=share)
        back_value = layers.attended.of_inputs(owed_few)
        of_wo2, of_bo2 = layers.attended.of_parameters(owed_few, of_values)
        below = layers.values.of_inputs(back_value).as_rows(count)
        of_wv2, of_bv2 = layers.values.of_parameters(back_value, per_few(context))

        above, *norm = owed_of(gradient_of(values, gradients[1]), normal, deviations, gain, rows, shares=share)
        (of_outputs,) = pairs.columns([shares], above, dtype)
        owed = pairs.owe(pairs.score(above, outputs, dtype=dtype)[0], shares, ctx.scale, over_rows=False)
        owed_back = pairs.owe(pairs.score(values, below, ctx.affine, dtype=dtype)[0], back, ctx.scale, over_rows=True)
        of_offsets = torch.empty(len(few), pairs.heads, device=few.device)
        of_directions, of_queries = pairs.columns([owed, owed_back], values, dtype, ctx.affine, of_offsets)
        three = (owed, directions), (owed_back, queries), (back, below)
        of_units = pairs.sums(three, ctx.dtypes[0], above, shares=ctx.flat[0])

        of_outputs, of_directions, of_queries = map(per_few, (of_outputs, of_directions, of_queries))
        of_value, of_query = layers.outputs.of_inputs(of_outputs), layers.queries.of_inputs(of_queries)
        of_key = layers.directions.of_inputs(of_directions, layers.offsets.of_inputs(of_offsets))
        of_wo, of_bo = layers.outputs.of_parameters(of_outputs, value)
        of_wk2, _ = layers.queries.of_parameters(of_queries, query)
        of_wq, _ = layers.directions.of_parameters(of_directions, key)
        of_bq, _ = layers.offsets.of_parameters(of_offsets, key)

        of_few = layers.value.of_inputs(of_value, layers.query.of_inputs(of_query, owed_few))
        of_few = layers.key.of_inputs(of_key, of_few, dtype=ctx.dtypes[1], shares=ctx.flat[1])
        of_wk, _ = layers.key.of_parameters(of_key, few, ctx.few_affine)
        of_wv, of_bv = layers.value.of_parameters(of_value, few, ctx.few_affine)
        of_wq2, of_bq2 = layers.query.of_parameters(of_query, few, ctx.few_affine)

        one = AttentionWeights(of_wq, of_bq, of_wk, of_wv, of_bv, of_wo, of_bo.sum(1) / pairs.heads, *norm)
        other = AttentionWeights(of_wq2, of_bq2, of_wk2, of_wv2, of_bv2.flatten(1), of_wo2, of_bo2, *few_norm)
        return of_units.gradient, None, None, of_few.gradient, None, None, *one, *other, None, None
