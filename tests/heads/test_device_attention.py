"""What an attention layer of a stack is made of, run by Triton's interpreter, against float64; and what 16 bits cost it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mer.heads.stacked.device.attention import Meetings
from mer.heads.stacked.device.by_few import attend_by_few
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.draws import kept
from mer.heads.stacked.device.feed_forward import Utterances, feed_forward, mean_after_feed_forward
from mer.heads.stacked.device.linear import After, linked_linear, multiply, of_inputs, stacked_linear
from mer.heads.stacked.device.means import stacked_mean
from mer.heads.stacked.device.norm import normalise, stacked_norm
from mer.heads.stacked.device.normed import Normed
from mer.heads.stacked.device.pairs import Pairs
from mer.heads.stacked.device.plainly import attend_plainly
from mer.heads.stacked.device.projection import AttentionWeights
from mer.heads.stacked.device.run_rows import RunRows
from mer.tests.heads.test_device_kernels import CPU, FLOAT, after_of, close, doubles, draw, draws_of, gradients, layer

pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("touched")

TF32 = DevicePath(kernels=True, precision="tf32")
SIZES = [5, 0, 3]


class Wide(DevicePath):
    """Products in TF32, and everything kept in float32."""

    @property
    def normal(self) -> torch.dtype:
        return torch.float32

    @property
    def shares(self) -> bool:
        return False


@pytest.fixture
def rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the interpreter's products read ten bits after the leading one, as a tensor core does in TF32."""
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    multiply_as_float32 = InterpreterBuilder.create_dot

    def rounding(handle: Any) -> Any:
        bits = np.ascontiguousarray(handle.data).view(np.int32)
        return TensorHandle(((bits + 0x1000) & ~0x1FFF).view(np.float32), handle.dtype)

    def create_dot(builder: Any, left: Any, right: Any, *rest: Any) -> Any:
        return multiply_as_float32(builder, rounding(left), rounding(right), *rest)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", create_dot)


def normed_rows(inputs: list[Tensor], rows: RunRows) -> Normed:
    """The first of the inputs, normalised, with the gain and bias of each run that follow it."""
    return stacked_norm(inputs[0], inputs[1], inputs[2], rows)


def plain_rows(exact: list[Tensor], sizes: list[int]) -> Tensor:
    """The equation of `normed_rows`."""
    gains, biases = (each.repeat_interleave(torch.tensor(sizes), 0) for each in exact[1:3])
    return torch.nn.functional.layer_norm(exact[0], exact[0].shape[1:]) * gains + biases


def inputs_after(dim: int, wide: int) -> list[Tensor]:
    """Rows, gains and biases; what is added, gains and biases; two layers; gains and biases; and a projection."""
    shapes = [(8, dim), (3, dim), (3, dim), (8, dim), (3, dim), (3, dim), (3, wide, dim), (3, wide), (3, dim, wide)]
    shapes += [(3, dim), (3, dim), (3, dim), (3, 9, dim), (3, 9)]
    # Products are of the size of their summands, as they are with the weights that heads start from.
    return [draw(*shape, seed=seed).detach() / (shape[-1] ** 0.5 if len(shape) == 3 else 1) for seed, shape in enumerate(shapes)]


def found_after(inputs: list[Tensor], path: DevicePath) -> list[Tensor]:
    """Means of units, a projection of them, and all gradients."""
    inputs = [each.clone().requires_grad_() for each in inputs]
    rows, after = RunRows(SIZES, path, CPU, path.hidden), after_of(True, 3)
    query, units = linked_linear(normed_rows(inputs, rows), inputs[12], inputs[13], rows)
    units = stacked_norm(units, inputs[4], inputs[5], rows, added=inputs[3].to(path.hidden))
    units = feed_forward(units, (inputs[6], inputs[7]), (inputs[8], inputs[9]), (inputs[10], inputs[11]), rows, after)
    means = stacked_mean(units, torch.tensor([1, 4, 3]), RunRows([2, 0, 1], path, CPU))
    return gradients(torch.cat([means.flatten(), query.flatten().float()]), inputs)


def expected_after(inputs: list[Tensor]) -> list[Tensor]:
    """The equations of `found_after`."""
    exact, scale, draws = doubles(inputs), after_of(True, 3).scale, draws_of(3)
    plain, keep = plain_rows(exact, SIZES), kept(draws, draws.next(), SIZES, inputs[7].shape[1], 20000)
    query = layer(plain, exact[12], exact[13], SIZES, After())
    plain = plain_rows([plain + exact[3], *exact[4:6]], SIZES)
    hidden = layer(plain, exact[6], exact[7], SIZES, After()).relu() * keep * scale
    added = layer(hidden, exact[8], exact[9], SIZES, After())
    added = added * kept(draws, draws.next(), SIZES, plain.shape[1], 20000) * scale
    plain = plain_rows([plain + added, *exact[10:12]], SIZES)
    means = torch.stack([each.mean(0) for each in torch.split(plain, [1, 4, 3])])
    return gradients(torch.cat([means.flatten(), query.flatten()]), exact)


PRECISIONS = [("float32", 1e-5), ("tf32", 2e-3), pytest.param("bfloat16", 0.03, marks=pytest.mark.slow)]
"""Precision, and how far it may be from float64; the interpreter multiplies TF32 as float32, so that what is seen is storage."""


@pytest.mark.parametrize(("precision", "tolerance"), PRECISIONS)
def test_what_follows_attention_equals_float64_and_is_the_same_every_time(precision: str, tolerance: float) -> None:
    inputs, path = inputs_after(20, 40), DevicePath(kernels=True, precision=precision)
    results = [found_after(inputs, path) for _ in range(2)]
    close(results[0], expected_after(inputs), tolerance)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


HEADS = 3
ROWS, COLUMNS, UTTERANCES = [66, 3, 1], [1, 12, 1], [2, 0, 1]
UNITS, FEW = [69, 0, 1], [13, 0, 1]
Attention = Callable[[Normed, Normed, tuple[AttentionWeights, AttentionWeights], DevicePath, tuple[RunRows, RunRows]], Any]


def inputs_of_attention(dim: int) -> list[Tensor]:
    """Rows, gains and biases of both sides, what leads from one side to the other and back, and two layers."""
    vector, square = (3, dim), (3, dim, dim)
    weights = [square, vector, square, square, vector, square, vector, vector, vector]
    shapes = [(70, dim), vector, vector, (14, dim), vector, vector, *weights, *weights, (3, 40, dim), (3, dim, 40)]
    return [draw(*shape, seed=seed).detach() / (shape[-1] ** 0.5 if len(shape) == 3 else 1) for seed, shape in enumerate(shapes)]


def by_few(
    units: Normed, few: Normed, layers: tuple[AttentionWeights, AttentionWeights], path: DevicePath, rows: tuple[RunRows, RunRows]
) -> Any:
    return attend_by_few(units, few, layers, Pairs(torch.tensor(ROWS), torch.tensor(COLUMNS), HEADS, path, CPU, UTTERANCES), rows)


def plainly(
    units: Normed, few: Normed, layers: tuple[AttentionWeights, AttentionWeights], path: DevicePath, rows: tuple[RunRows, RunRows]
) -> Any:
    sides = torch.tensor(ROWS), torch.tensor(COLUMNS)
    meetings = [Meetings(one, other, HEADS, path, CPU) for one, other in (sides, sides[::-1])]
    return attend_plainly(units, few, layers, meetings, rows)


def found_attention(inputs: list[Tensor], path: DevicePath, attention: Attention, layers: int) -> list[Tensor]:
    """The means of both sides after some layers, and all gradients."""
    inputs = [each.clone().requires_grad_() for each in inputs]
    rows, columns = (RunRows(sizes, path, CPU, path.hidden) for sizes in (UNITS, FEW))
    units, few = normed_rows(inputs[:3], rows), normed_rows(inputs[3:6], columns)
    both = AttentionWeights(*inputs[6:15]), AttentionWeights(*inputs[15:24])
    first, second = (inputs[24], torch.zeros(3, 40)), (inputs[25], torch.zeros(inputs[1].shape))
    parts = (first, second, (inputs[1], inputs[2]))
    for depth in range(layers):
        units, few = attention(units, few, both, path, (rows, columns))
        if depth + 1 < layers:
            units, few = (
                feed_forward(each, *parts, own, After(relu=True), shares=path.shares)
                for each, own in ((units, rows), (few, columns))
            )
    utterances = RunRows(UTTERANCES, path, CPU)
    means = [
        mean_after_feed_forward(each, *parts, own, After(relu=True), Utterances(torch.tensor(lengths), utterances))
        for each, own, lengths in ((units, rows, ROWS), (few, columns, COLUMNS))
    ]
    return gradients(torch.cat(means), inputs)


def attended_to(units: list[Tensor], others: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """`a` of the units of every utterance, the equation of `fusion.attention.AttentionLayer`."""
    found = []
    for run, unit, other in zip([0, 0, 2], units, others, strict=True):
        wq, bq, wk, wv, bv, wo, bo, *_ = (each[run] for each in weights)
        query, key, value = (
            each.unflatten(1, (HEADS, -1)).transpose(0, 1) for each in (unit @ wq.T + bq, other @ wk.T, other @ wv.T + bv)
        )
        shares = (query @ key.transpose(1, 2) / query.shape[2] ** 0.5).softmax(2)
        found.append((shares @ value).transpose(0, 1).flatten(1) @ wo.T + bo)
    return found


def expected_attention(inputs: list[Tensor], layers: int) -> list[Tensor]:
    """The equations of `found_attention`."""
    exact = doubles(inputs)
    sides = [plain_rows(exact[:3], UNITS), plain_rows(exact[3:6], FEW)]
    sizes, lengths, none = (UNITS, FEW), (ROWS, COLUMNS), (torch.zeros(3, 40), torch.zeros(inputs[1].shape))
    for _ in range(layers):
        parts = [list(torch.split(side, length)) for side, length in zip(sides, lengths, strict=True)]
        for number, own in enumerate((exact[6:15], exact[15:24])):
            attended = torch.cat(attended_to(parts[number], parts[1 - number], own))
            plain = plain_rows([sides[number] + attended, *own[7:]], sizes[number])
            hidden = layer(plain, exact[24], none[0], sizes[number], After()).relu()
            added = layer(hidden, exact[25], none[1], sizes[number], After())
            sides[number] = plain_rows([plain + added, *exact[1:3]], sizes[number])
    means = [torch.stack([part.mean(0) for part in torch.split(each, own)]) for each, own in zip(sides, lengths, strict=True)]
    return gradients(torch.cat(means), exact)


@pytest.mark.parametrize("attention", [by_few, plainly])
@pytest.mark.parametrize(("precision", "tolerance"), PRECISIONS)
def test_attention_of_utterances_of_any_lengths_equals_float64(precision: str, tolerance: float, attention: Attention) -> None:
    # Between two layers gradients share exponents, where they do at all; both layers round. In bfloat16 some ten tensors in
    # turn are stored with eight bits, projections included: the largest error is up to 0.07, the mean one 0.03.
    tolerance = 0.1 if precision == "bfloat16" else tolerance
    inputs, layers = inputs_of_attention(12), 2 if precision == "tf32" and attention is by_few else 1
    found = found_attention(inputs, DevicePath(kernels=True, precision=precision), attention, layers)
    expected = expected_attention(inputs, layers)
    close(found, expected, layers * tolerance)
    assert errors(found, expected) < 0.04


@pytest.mark.slow
@pytest.mark.parametrize(("attention", "dim"), [(by_few, 132), (plainly, 390)])
def test_so_does_that_of_units_and_of_heads_that_need_several_factors(attention: Attention, dim: int) -> None:
    inputs = inputs_of_attention(dim)
    assert errors(found_attention(inputs, TF32, attention, 1), expected_attention(inputs, 1)) < 2e-3


def errors(found: list[Tensor], expected: list[Tensor]) -> float:
    """The root of the mean squared error of each tensor over that of its values, of all tensors together."""
    shares = [
        float((one.double() - other).pow(2).mean() / other.pow(2).mean()) for one, other in zip(found, expected, strict=True)
    ]
    return float(np.sqrt(np.mean(shares)))


@pytest.mark.parametrize("part", [by_few, pytest.param(plainly, marks=pytest.mark.slow), None])
def test_what_is_kept_in_16_bits_costs_no_more_than_the_products_in_tf32_do(rounded: None, part: Attention | None) -> None:
    inputs = inputs_after(20, 40) if part is None else inputs_of_attention(12)

    def found(path: DevicePath) -> list[Tensor]:
        return found_after(inputs, path) if part is None else found_attention(inputs, path, part, 1)

    expected = expected_after(inputs) if part is None else expected_attention(inputs, 1)
    narrow, wide = (errors(found(path), expected) for path in (TF32, Wide(kernels=True, precision="tf32")))
    assert 1e-5 < wide < 2e-3
    assert narrow < 2 * wide


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul", "ignore:All-NaN slice")
def test_values_that_share_an_exponent_are_never_too_large_and_keep_eleven_bits() -> None:
    rows = RunRows([6], TF32, CPU)
    values = draw(6, 130, seed=0).detach() * torch.tensor([1e-35, 1e-12, 1.0, 1e9, 1e30, 0.0])[:, None]
    values[2, 3], values[2, 129] = 6e-5, 3.0
    own = torch.eye(130)[None]
    made = multiply(values, own, torch.zeros(1, 130), rows, After(), shares=True)
    back = of_inputs(made, own, torch.float32, rows)
    assert made.values.dtype == torch.float16
    assert made.values.isfinite().all()
    assert made.factors is not None
    assert torch.equal(made.factors.log2(), made.factors.log2().round())
    for found in (back.values, normalise(values * 0, None, rows, added=made, norm=False, dtype=torch.float32).values):
        np.testing.assert_allclose(found, values, rtol=2**-11, atol=1e-44)
    # What is no number stays none, and is found out by its loss.
    values[2, 3] = torch.inf
    kept_back = multiply(values, own, torch.zeros(1, 130), rows, After(), shares=True)
    assert not kept_back.values[2].isfinite().all()


def test_a_normalisation_without_gain_still_learns_one() -> None:
    inputs, rows = [draw(3, 6, seed=0), torch.zeros(1, 6).requires_grad_(), draw(1, 6, seed=1)], RunRows([3], FLOAT, CPU)
    query = stacked_linear(normed_rows(inputs, rows), draw(1, 2, 6, seed=2), torch.zeros(1, 2), rows)
    exact = doubles(inputs)
    expected = layer(plain_rows(exact, [3]), draw(1, 2, 6, seed=2).double(), torch.zeros(1, 2).double(), [3], After())
    found = gradients(query, inputs)
    close(found, gradients(expected, exact), 1e-5)
    assert found[2].abs().max() > 0.01


def test_units_whose_gradients_share_exponents_have_one_reader() -> None:
    rows = RunRows([3], TF32, CPU)
    units = normed_rows([draw(3, 6, seed=0), draw(1, 6, seed=1), draw(1, 6, seed=2)], rows)
    first, second = (draw(1, 8, 6, seed=3), draw(1, 8, seed=4)), (draw(1, 6, 8, seed=5), draw(1, 6, seed=6))
    made = feed_forward(units, first, second, (units.gains, units.biases), rows, After(relu=True), shares=True)
    with pytest.raises(TypeError, match="one reader that gives such gradients"):
        stacked_linear(made, draw(1, 2, 6, seed=7), torch.zeros(1, 2), rows)
    with pytest.raises(TypeError, match="one reader"):
        stacked_mean(made, torch.tensor([3]), RunRows([1], TF32, CPU))
    feed_forward(made, first, second, (units.gains, units.biases), rows, After(relu=True))
    with pytest.raises(TypeError, match="one reader"):
        feed_forward(made, first, second, (units.gains, units.biases), rows, After(relu=True))
