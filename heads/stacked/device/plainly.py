"""Two sequences of each utterance of a stack that attend to each other as the equation has it, per attention head."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mer.heads.stacked.device.attention import Meetings, attended, owed_to_attention
from mer.heads.stacked.device.norm import normalise, owed_of
from mer.heads.stacked.device.normed import Affine, Normed, link_like, normed, parts_of
from mer.heads.stacked.device.projection import FIRST_WEIGHT, WEIGHTS, AttentionWeights, Projection
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.device.shared import gradient_of, kept


def attend_plainly(
    units: Normed,
    others: Normed,
    layers: tuple[AttentionWeights, AttentionWeights],
    meetings: Sequence[Meetings],
    rows: tuple[RunRows, RunRows],
) -> tuple[Normed, Normed]:
    """`gain_r LN(u + a) + bias_r` of both sides.

    Args:
        units: one side.
        others: the other side.
        layers: by which the units attend to the others, and the others to the units.
        meetings: of the units with the others, and of the others with the units.
        rows: of both sides.

    What is given is for one reader, whose gradient shares factors, where the path shares factors.
    """
    (one, other), given = layers, (*parts_of(units, flat=True), *parts_of(others, flat=True))
    made = _Plainly.apply(*given, *one, *other, meetings, rows)  # type: ignore[no-untyped-call]
    return normed(made[:2], one.gain, one.bias), normed(made[2:], other.gain, other.bias)


class _Layers(NamedTuple):
    """The products of one side, which attends to the other."""

    query: Projection
    """Takes its units."""
    key: Projection
    """Takes the other side's."""
    value: Projection
    """Likewise."""
    out: Projection
    """What its units get."""


def _layers(own: AttentionWeights, rows: tuple[RunRows, RunRows], wanted: Sequence[bool]) -> _Layers:
    asked = dict(zip(AttentionWeights._fields, wanted, strict=True))
    return _Layers(
        query=Projection(own.wq, own.wq, own.bq, rows[0], wanted=asked["wq"]),
        key=Projection(own.wk, own.wk, torch.zeros_like(own.bv), rows[1], wanted=asked["wk"]),
        value=Projection(own.wv, own.wv, own.bv, rows[1], wanted=asked["wv"]),
        out=Projection(own.wo, own.wo, own.bo, rows[0], wanted=asked["wo"]),
    )


class _Plainly(torch.autograd.Function):
    """What both sides owe to what they were given is added up while it is made: no gradient is stored to be added."""

    @staticmethod
    def forward(
        ctx: Any, link: Tensor, values: Tensor, affine: Affine, other_link: Tensor, others: Tensor, other_affine: Affine,
        *more: Any,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        *weights, meetings, rows = more
        wanted, both = ctx.needs_input_grad[FIRST_WEIGHT : FIRST_WEIGHT + 2 * WEIGHTS], ((values, affine), (others, other_affine))
        sides = AttentionWeights(*weights[:WEIGHTS]), AttentionWeights(*weights[WEIGHTS:])
        layers = [_layers(sides[0], rows, wanted[:WEIGHTS]), _layers(sides[1], rows[::-1], wanted[WEIGHTS:])]
        own, between, made = [values, others, *(each.gain for each in sides)], [], []
        for side, layer in enumerate(layers):
            (units, gains), (met, met_gains) = both[side], both[1 - side]
            query, key, value = layer.query(units, gains), layer.key(met, met_gains), layer.value(met, met_gains)
            out, logs = attended(query, key, value, meetings[side])
            found = normalise(units, gains, rows[side], added=layer.out(out))
            own += [logs, found.values, found.deviations]
            between += [query, key, value, out]
            made += [found.values, link_like(found.values, rows[side].dtype, shares=rows[side].path.shares)]
        ctx.layers, ctx.meetings, ctx.rows, ctx.affines = layers, meetings, rows, (affine, other_affine)
        ctx.flat, ctx.dtypes = (link.ndim == 1, other_link.ndim == 1), (link.dtype, other_link.dtype)
        ctx.kept = [kept(each) for each in between]
        ctx.save_for_backward(*own, *(each.gradient for each in between))
        ctx.mark_non_differentiable(made[0], made[2])
        ctx.set_materialize_grads(False)
        return tuple(made)  # type: ignore[return-value]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        values, others, *gains = ctx.saved_tensors[:4]
        between = [each.found(tensor) for each, tensor in zip(ctx.kept, ctx.saved_tensors[10:], strict=True)]
        both, rows, layers, found = (values, others), ctx.rows, ctx.layers, []
        for side, layer in enumerate(layers):
            logs, normal, deviations = ctx.saved_tensors[4 + 3 * side : 7 + 3 * side]
            *given, out = between[4 * side : 4 * side + 4]
            came = gradient_of(both[side], gradients[2 * side + 1])
            owed, *norm = owed_of(came, normal, deviations, gains[side], rows[side], shares=rows[side].path.shares)
            of_out = layer.out.of_inputs(owed)
            of_wo = layer.out.of_parameters(owed, out)
            found.append((owed, owed_to_attention(tuple(given), out, logs, of_out, ctx.meetings[side]), of_wo, norm))
        of_units, of_weights = [], []
        for side, (owed, *_) in enumerate(found):
            own, met = layers[side], layers[1 - side]
            total = met.key.of_inputs(found[1 - side][1][1], own.query.of_inputs(found[side][1][0], owed))
            last = {"dtype": ctx.dtypes[side], "shares": ctx.flat[side]}
            of_units += [met.value.of_inputs(found[1 - side][1][2], total, **last).gradient, None, None]
        for side, (_, (of_query, of_key, of_value), of_out_layer, norm) in enumerate(found):
            own, (units, met) = layers[side], (both[side], both[1 - side])
            affine, met_affine = ctx.affines[side], ctx.affines[1 - side]
            query = own.query.of_parameters(of_query, units, affine)
            key, _ = own.key.of_parameters(of_key, met, met_affine)
            of_weights += [*query, key, *own.value.of_parameters(of_value, met, met_affine), *of_out_layer, *norm]
        return *of_units, *of_weights, None, None
