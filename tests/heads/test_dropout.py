import numpy as np
import pytest
import torch
from torch import Tensor

from mer.heads.stacked.dropout import grouped_dropout, grouped_relu_dropout

SIZES = [3, 7, 0, 1]


@pytest.mark.parametrize("dim", [4, 3])
def test_dropout_of_a_run_depends_on_its_own_generator_only(dim: int) -> None:
    """A dim of 3 leaves draws over at the end of a run; they must not shift the next run's."""
    values = torch.ones(11, dim)
    seeds = [torch.Generator().manual_seed(seed) for seed in (5, 6, 7)]
    together = torch.split(grouped_dropout(values, 0.4, seeds, [3, 7, 1]), [3, 7, 1])
    for seed, part in zip((5, 6, 7), together, strict=True):
        alone = grouped_dropout(torch.ones_like(part), 0.4, [torch.Generator().manual_seed(seed)], [len(part)])
        assert torch.equal(alone, part)
    assert not torch.equal(together[0], together[1][:3])


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_dropout_zeroes_the_right_share_of_every_position_and_keeps_the_expectation(probability: float) -> None:
    values = torch.ones(100_001, 4)
    dropped = grouped_dropout(values, probability, [torch.Generator().manual_seed(0)], [100_001])
    kept = set(dropped.flatten().tolist()) - {0.0}
    np.testing.assert_allclose(list(kept), [1 / (1 - probability)], rtol=1e-3)
    # Four standard deviations of a share of 100,001 draws.
    tolerance = 4 * np.sqrt(probability * (1 - probability) / 100_001)
    np.testing.assert_allclose((dropped == 0).double().mean(0), np.full(4, probability), atol=tolerance)
    np.testing.assert_allclose(dropped.double().mean(), 1, atol=tolerance / (1 - probability))


@pytest.mark.parametrize(("probability", "seeded"), [(0.0, True), (0.9, False)])
def test_without_a_generator_or_probability_nothing_is_dropped(probability: float, seeded: bool) -> None:
    values = torch.ones(25, 4)
    assert torch.equal(grouped_dropout(values, probability, [torch.Generator()] if seeded else None, [25]), values)


def both_ways(function: object, values: Tensor, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Output and gradient of the compiled form and of the plain one."""
    found = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr("mer.heads.stacked.dropout._compiles", lambda values: False)
        leaf = values.clone().requires_grad_()
        generators = [torch.Generator().manual_seed(seed) for seed in range(len(SIZES))]
        out = function(leaf * 1, 0.3, generators, SIZES)  # type: ignore[operator]
        out.backward(torch.linspace(-2, 3, out.numel()).view(out.shape))
        assert leaf.grad is not None
        found.append((out.detach(), leaf.grad))
    return found


@pytest.mark.parametrize("function", [grouped_dropout, grouped_relu_dropout])
@pytest.mark.parametrize("dim", [4, 5])
def test_the_compiled_form_gives_the_bits_of_the_plain_one(function: object, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(sum(SIZES), dim, generator=torch.Generator().manual_seed(1))
    values[0] = torch.tensor([0.0, -0.0, torch.nan, torch.inf, -torch.inf])[:dim]
    compiled, plain = both_ways(function, values, monkeypatch)
    # Bits, but for the sign of zero.
    torch.testing.assert_close(compiled[0], plain[0], rtol=0, atol=0, equal_nan=True)
    finite = torch.isfinite(values)
    assert torch.equal(compiled[1][finite], plain[1][finite])
    assert (compiled[0] == 0).any()
    assert (compiled[1][finite] != 0).any()


def test_relu_and_dropout_in_one_pass_are_both_after_one_another_in_float64() -> None:
    values = torch.randn(sum(SIZES), 6, generator=torch.Generator().manual_seed(2))
    seeds = [torch.Generator().manual_seed(seed) for seed in range(len(SIZES))]
    found = grouped_relu_dropout(values.clone(), 0.25, seeds, SIZES).numpy()
    kept = found != 0
    expected = np.maximum(values.double().numpy(), 0) / 0.75
    np.testing.assert_allclose(found[kept], expected[kept], rtol=1e-6)
    assert 0.5 < kept[expected > 0].mean() < 1


@pytest.mark.parametrize("function", [grouped_dropout, grouped_relu_dropout])
def test_gradients_are_those_of_finite_differences(function: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the plain form, in float64; the compiled one has its bits."""
    values = torch.randn(sum(SIZES), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()

    def forward(leaf: Tensor) -> Tensor:
        seeds = [torch.Generator().manual_seed(seed) for seed in range(len(SIZES))]
        out: Tensor = function(leaf * 1, 0.3, seeds, SIZES)  # type: ignore[operator]
        return out

    assert torch.autograd.gradcheck(forward, (values,))
