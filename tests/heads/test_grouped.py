import numpy as np
import pytest
import torch

from mer.heads.stacked.grouped import bounds, grouped_affine, grouped_layer_norm, grouped_linear

SIZES = [[5], [2, 3], [0, 4, 1], [3, 0, 2, 2]]


def draw(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def parts(values: torch.Tensor, sizes: list[int]) -> list[np.ndarray]:
    return [values.detach().numpy()[start:end] for start, end in bounds(sizes)]


@pytest.mark.parametrize("sizes", SIZES)
def test_each_runs_rows_meet_its_own_weights(sizes: list[int]) -> None:
    values = draw(sum(sizes), 3, seed=0)
    weights = [draw(4, 3, seed=10 + run) for run in range(len(sizes))]
    biases = [draw(4, seed=20 + run) for run in range(len(sizes))]
    found = grouped_linear(values, weights, biases, sizes)
    own = zip(parts(values, sizes), weights, biases, strict=True)
    expected = [x @ w.detach().numpy().T + b.detach().numpy() for x, w, b in own]
    np.testing.assert_allclose(found.detach().numpy(), np.concatenate(expected), rtol=1e-12)
    runs = len(sizes)
    assert torch.autograd.gradcheck(lambda v, *p: grouped_linear(v, p[:runs], p[runs:], sizes), (values, *weights, *biases))


@pytest.mark.parametrize("sizes", SIZES)
def test_layer_normalisation_and_its_gain_and_bias_are_each_runs_own(sizes: list[int]) -> None:
    values = draw(sum(sizes), 6, seed=1)
    gains = [draw(6, seed=10 + run) for run in range(len(sizes))]
    biases = [draw(6, seed=20 + run) for run in range(len(sizes))]
    runs = len(sizes)
    for layer, centred in ((grouped_layer_norm, True), (grouped_affine, False)):
        expected = []
        for x, gain, bias in zip(parts(values, sizes), gains, biases, strict=True):
            unit = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) if centred else x
            expected.append(unit * gain.detach().numpy() + bias.detach().numpy())
        found = layer(values, gains, biases, sizes)
        np.testing.assert_allclose(found.detach().numpy(), np.concatenate(expected), rtol=1e-10, atol=1e-12)
        assert torch.autograd.gradcheck(lambda v, *p, layer=layer: layer(v, p[:runs], p[runs:], sizes), (values, *gains, *biases))
