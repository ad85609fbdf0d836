import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mer.heads import LayerAverage, PackedBatch, Statistics
from mer.heads.layer_average import coefficients, packed_average

Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _blocks_smaller_than_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.heads.layer_average.BLOCK_CPU", 90)


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


def batch_of(arrays: list[NDArray[np.float16]]) -> PackedBatch:
    return PackedBatch(
        units=tuple(torch.from_numpy(array) for array in arrays),
        lengths=torch.tensor([len(a) for a in arrays]),
    )


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
    found = module(batch_of(arrays), statistics).detach().numpy()
    given_statistics = (mean, std) if normalised else ()
    expected = equation_one(np.concatenate(arrays).astype(np.float64), weights, gain, bias, *given_statistics)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    single = module.float()(batch_of(arrays), statistics)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.detach().numpy(), expected, rtol=2e-4, atol=2e-4)


def test_untrained_it_is_the_plain_mean_of_the_layers() -> None:
    arrays = stored(np.random.default_rng(0), [4], 3, 5)
    module = LayerAverage(layers=3, dim=5)
    scale, shift = coefficients(module.weights, 5, None)
    found = packed_average(scale, shift, batch_of(arrays).units)
    np.testing.assert_allclose(found.detach().numpy(), arrays[0].astype(np.float64).mean(1), rtol=1e-6)
    np.testing.assert_allclose(module.shares().numpy(), np.full(3, 1 / 3), rtol=1e-6)


def test_only_the_proportion_of_the_weights_matters() -> None:
    arrays = stored(np.random.default_rng(1), [3], 3, 4)
    module = LayerAverage(layers=3, dim=4).double()
    with torch.no_grad():
        module.weights.copy_(torch.tensor([1.0, 2.0, 5.0]))
        first = module(batch_of(arrays), None)
        module.weights.mul_(7.0)
        torch.testing.assert_close(module(batch_of(arrays), None), first)


def test_gradients_pass_gradcheck() -> None:
    random = np.random.default_rng(2)
    units = batch_of(stored(random, [19, 1, 3], 3, 4)).units
    scale = torch.from_numpy(random.standard_normal((3, 4))).requires_grad_()
    shift = torch.from_numpy(random.standard_normal(4)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: packed_average(a, b, units), (scale, shift))


def test_gradients_of_all_parameters_equal_those_of_the_equation_written_in_torch() -> None:
    random = np.random.default_rng(3)
    arrays = stored(random, [5, 1, 40], 4, 6)
    statistics = Statistics(
        mean=torch.from_numpy(random.standard_normal((4, 6))),
        std=torch.from_numpy(random.uniform(0.5, 2, (4, 6))),
    )
    module = LayerAverage(layers=4, dim=6).double()
    target = torch.from_numpy(random.standard_normal((46, 6)))
    torch.autograd.backward((module(batch_of(arrays), statistics) * target).sum())
    weights, gain, bias = (p.detach().clone().requires_grad_() for p in module.parameters())
    units = (torch.from_numpy(np.concatenate(arrays)).double() - statistics.mean) / statistics.std
    average = (weights[:, None] * units).sum(1) / weights.sum()
    plain = torch.nn.functional.layer_norm(average, (6,), gain, bias)
    torch.autograd.backward((plain * target).sum())
    for found, expected in zip(module.parameters(), (weights, gain, bias), strict=True):
        assert found.grad is not None
        torch.testing.assert_close(found.grad, expected.grad)


@pytest.mark.parametrize("pieces", [[7, 30, 1], [38], [19, 19]])
def test_how_units_are_cut_into_pieces_changes_nothing(pieces: list[int]) -> None:
    whole = stored(np.random.default_rng(4), [38], 3, 8)[0]
    scale, shift = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(8)
    expected = packed_average(scale, shift, (torch.from_numpy(whole),))
    found = packed_average(scale, shift, torch.split(torch.from_numpy(whole), pieces))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_float32_features_work_too() -> None:
    units = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    found = packed_average(torch.ones(2, 3), torch.ones(3), (units,))
    torch.testing.assert_close(found, units.sum(1) + 1)
