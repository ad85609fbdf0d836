from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mer.heads import LayerAverage, Statistics
from mer.heads.features.reads import GatheredReads, Piece, Reads, SharedReads
from mer.heads.stacked.layer_average import layer_sums, normalized_averages, normalized_layer_sums

Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _blocks_smaller_than_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.heads.features.reads.BLOCK_CPU", 90)


def equation_one(
    units: Array,
    weights: Array,
    gain: Array,
    bias: Array,
    mean: Array | None = None,
    std: Array | None = None,
) -> Array:
    """Zhao 2022, eq. 1, unit by unit and layer by layer, of globally normalised features."""
    out = np.zeros((len(units), units.shape[2]))
    for unit, states in enumerate(units):
        for layer, weight in enumerate(weights):
            state = states[layer] if mean is None or std is None else (states[layer] - mean[layer]) / std[layer]
            out[unit] += weight * state
        out[unit] /= weights.sum()
        centred = out[unit] - out[unit].mean()
        out[unit] = gain * centred / np.sqrt((centred**2).mean() + 1e-5) + bias
    return out


def stored(random: np.random.Generator, lengths: list[int], layers: int, dim: int) -> list[NDArray[np.float16]]:
    return [(3 + 2 * random.standard_normal((n, layers, dim))).astype(np.float16) for n in lengths]


def reads_of(arrays: list[NDArray[np.float16]]) -> SharedReads:
    """All units for one run."""
    return shared([arrays], [range(len(arrays))])


def shared(stores: Sequence[Sequence[NDArray[np.floating[Any]]]], wanted: list[Any]) -> SharedReads:
    """Each run wants some utterances of one store, in ascending order; all are read together."""
    store, sizes, places, first = stores[0], [], list[dict[int, int]](), 0
    for rows in wanted:
        places.append({})
        for row in rows:
            places[-1][row] = first
            first += len(store[row])
        sizes.append(sum(len(store[row]) for row in rows))
    pieces = [
        Piece(torch.from_numpy(array), tuple((run, each[row]) for run, each in enumerate(places) if row in each))
        for row, array in enumerate(store)
    ]
    lengths = torch.tensor([len(store[row]) for rows in wanted for row in rows])
    return SharedReads([piece for piece in pieces if piece.wanted], tuple(sizes), lengths)


def equation(module: LayerAverage, reads: Reads, statistics: Statistics | None) -> torch.Tensor:
    return normalized_averages([module], [statistics], reads) * module.gain + module.bias


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    layers=st.integers(1, 5),
    dim=st.integers(2, 6),
    normalised=st.booleans(),
    seed=st.integers(0, 99),
)
def test_it_equals_equation_one(lengths: list[int], layers: int, dim: int, normalised: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = stored(random, lengths, layers, dim)
    module = LayerAverage(layers=layers, dim=dim).double()
    weights = random.uniform(0.2, 2, layers)
    gain, bias = random.standard_normal((2, dim))
    mean, std = random.standard_normal((layers, dim)), random.uniform(0.5, 3, (layers, dim))
    with torch.no_grad():
        for parameter, value in ((module.weights, weights), (module.gain, gain), (module.bias, bias)):
            parameter.copy_(torch.from_numpy(value))
    statistics = Statistics(mean=torch.from_numpy(mean), std=torch.from_numpy(std)) if normalised else None
    found = equation(module, reads_of(arrays), statistics).detach().numpy()
    given_statistics = (mean, std) if normalised else ()
    expected = equation_one(np.concatenate(arrays).astype(np.float64), weights, gain, bias, *given_statistics)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    single = equation(module.float(), reads_of(arrays), statistics)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.detach().numpy(), expected, rtol=2e-4, atol=2e-4)


def test_untrained_it_is_the_plain_mean_of_the_layers() -> None:
    arrays = stored(np.random.default_rng(0), [4], 3, 5)
    module = LayerAverage(layers=3, dim=5)
    scale, shift = module.coefficients(None)
    found = layer_sums([scale], [shift], reads_of(arrays))
    np.testing.assert_allclose(found.detach().numpy(), arrays[0].astype(np.float64).mean(1), rtol=1e-6)
    np.testing.assert_allclose(module.shares().numpy(), np.full(3, 1 / 3), rtol=1e-6)


def test_only_the_proportion_of_the_weights_matters() -> None:
    arrays = stored(np.random.default_rng(1), [3], 3, 4)
    module = LayerAverage(layers=3, dim=4).double()
    with torch.no_grad():
        module.weights.copy_(torch.tensor([1.0, 2.0, 5.0]))
        first = equation(module, reads_of(arrays), None)
        module.weights.mul_(7.0)
        torch.testing.assert_close(equation(module, reads_of(arrays), None), first)


def test_gradients_pass_gradcheck() -> None:
    random = np.random.default_rng(2)
    reads = shared([stored(random, [19, 1, 3], 3, 4)], [[0, 1, 2], [1], [0, 2]])
    scales = [torch.from_numpy(random.standard_normal((3, 4))).requires_grad_() for _ in range(3)]
    shifts = [torch.from_numpy(random.standard_normal(4)).requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(lambda *each: layer_sums(each[:3], each[3:], reads), (*scales, *shifts))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
def test_gradients_of_all_parameters_equal_those_of_the_equation_written_in_torch(dtype: torch.dtype, tolerance: float) -> None:
    random = np.random.default_rng(3)
    arrays = stored(random, [5, 1, 40], 4, 6)
    statistics = Statistics(
        mean=torch.from_numpy(random.standard_normal((4, 6))),
        std=torch.from_numpy(random.uniform(0.5, 2, (4, 6))),
    )
    module = LayerAverage(layers=4, dim=6).to(dtype)
    target = torch.from_numpy(random.standard_normal((46, 6)))
    torch.autograd.backward((equation(module, reads_of(arrays), statistics) * target).sum())
    weights, gain, bias = (p.detach().double().clone().requires_grad_() for p in module.parameters())
    units = (torch.from_numpy(np.concatenate(arrays)).double() - statistics.mean) / statistics.std
    average = (weights[:, None] * units).sum(1) / weights.sum()
    plain = torch.nn.functional.layer_norm(average, (6,), gain, bias)
    torch.autograd.backward((plain * target).sum())
    for found, expected in zip(module.parameters(), (weights, gain, bias), strict=True):
        assert found.grad is not None
        torch.testing.assert_close(found.grad.double(), expected.grad, rtol=tolerance, atol=tolerance)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    layers=st.integers(1, 9),
    dim=st.integers(8, 40),
    half=st.booleans(),
    seed=st.integers(0, 99),
)
def test_compiled_loops_equal_torch_in_double_precision(lengths: list[int], layers: int, dim: int, half: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays: list[NDArray[np.floating[Any]]] = [
        random.standard_normal((length, layers, dim)).astype(np.float16 if half else np.float32) for length in lengths
    ]
    # Every utterance is read by run 0, every second one by run 1, too.
    reads = shared([arrays], [list(range(len(arrays))), list(range(0, len(arrays), 2))])
    assert reads.table() is not None
    target = random.standard_normal((sum(reads.sizes), dim))
    results = []
    for dtype in (torch.float32, torch.float64):
        generator = np.random.default_rng(seed)
        scales, shifts = (
            [torch.from_numpy(generator.standard_normal(shape)).to(dtype).requires_grad_() for _ in range(2)]
            for shape in ((layers, dim), (dim,))
        )
        out = normalized_layer_sums(scales, shifts, reads)
        torch.autograd.backward((out * torch.from_numpy(target).to(dtype)).sum())
        gradients = [each.grad for each in (*scales, *shifts) if each.grad is not None]
        assert len(gradients) == 4
        results.append([each.detach().double() for each in (out, *gradients)])
    for found, expected in zip(*results, strict=True):
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * max(1.0, scale))


def test_some_layers_of_a_cache_are_read_in_place() -> None:
    random = np.random.default_rng(6)
    arrays = stored(random, [21, 1], 6, 8)
    pieces = [Piece(torch.from_numpy(array)[:, 1:6:2], ((0, start),)) for array, start in zip(arrays, (0, 21), strict=True)]
    reads = SharedReads(pieces, (22,), torch.tensor([21, 1]))
    scale, shift = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), torch.ones(8)
    assert reads.table() is not None
    found = normalized_layer_sums([scale], [shift], reads)
    plain = (torch.from_numpy(np.concatenate(arrays)[:, 1:6:2]).float() * scale).sum(1) + shift
    torch.testing.assert_close(found, torch.nn.functional.layer_norm(plain, (8,)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wanted", [[[0, 1, 2, 3], [1, 3]], [[3], [0, 1, 2], [2]], [[0, 2], [0, 2], [1, 3]]])
def test_a_run_gets_the_same_bits_whatever_the_runs_beside_it_want(wanted: list[list[int]]) -> None:
    store = stored(np.random.default_rng(4), [38, 1, 12, 7], 3, 8)
    generator = torch.Generator().manual_seed(0)
    scales = [torch.randn(3, 8, generator=generator).requires_grad_() for _ in wanted]
    shifts = [torch.randn(8, generator=generator).requires_grad_() for _ in wanted]
    together = normalized_layer_sums(scales, shifts, shared([store], wanted))
    weight = torch.randn(together.shape, generator=generator)
    torch.autograd.backward((together * weight).sum())
    sizes = [sum(len(store[row]) for row in rows) for rows in wanted]
    parts = zip(scales, shifts, wanted, torch.split(together, sizes), torch.split(weight, sizes), strict=True)
    for scale, shift, rows, part, own_weight in parts:
        own_scale, own_shift = scale.detach().requires_grad_(), shift.detach().requires_grad_()
        alone = normalized_layer_sums([own_scale], [own_shift], shared([store], [rows]))
        torch.autograd.backward((alone * own_weight).sum())
        assert torch.equal(alone, part)
        assert own_scale.grad is not None
        assert scale.grad is not None
        assert torch.equal(own_scale.grad, scale.grad)
        assert own_shift.grad is not None
        assert shift.grad is not None
        assert torch.equal(own_shift.grad, shift.grad)


def test_gathered_reads_as_on_a_gpu_give_the_same_sums_and_gradients() -> None:
    store = stored(np.random.default_rng(5), [38, 1, 12, 7], 3, 8)
    starts = np.cumsum([0, *(len(array) for array in store)])
    wanted = [[0, 1, 3], [2, 3]]
    positions = [torch.from_numpy(np.concatenate([np.arange(starts[r], starts[r + 1]) for r in rows])) for rows in wanted]
    lengths = torch.tensor([len(store[row]) for rows in wanted for row in rows])
    gathered = GatheredReads(torch.from_numpy(np.concatenate(store)), positions, lengths, block=5 * 24)
    results = []
    for reads in (shared([store], wanted), gathered):
        generator = torch.Generator().manual_seed(0)
        scales = [torch.randn(3, 8, generator=generator).requires_grad_() for _ in wanted]
        out = layer_sums(scales, [torch.zeros(8), torch.ones(8)], reads)
        torch.autograd.backward((out * torch.randn(out.shape, generator=generator)).sum())
        results.append((out.detach(), [scale.grad for scale in scales]))
    torch.testing.assert_close(results[0], results[1])


def test_float32_features_work_too() -> None:
    units = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    found = layer_sums([torch.ones(2, 3)], [torch.ones(3)], SharedReads([Piece(units, ((0, 0),))], (5,), torch.tensor([5])))
    torch.testing.assert_close(found, units.sum(1) + 1)


def test_softmax_keeps_every_share_positive_and_starts_equal() -> None:
    module = LayerAverage(layers=3, dim=5, softmax=True)
    np.testing.assert_allclose(module.shares().numpy(), np.full(3, 1 / 3), rtol=1e-6)
    with torch.no_grad():
        module.weights.copy_(torch.tensor([-2.0, 0.0, 1.0]))
    np.testing.assert_allclose(module.shares().numpy(), np.exp([-2, 0, 1]) / np.exp([-2, 0, 1]).sum(), rtol=1e-6)
