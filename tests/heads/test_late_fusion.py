import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mer.heads import LateFusion, PackedBatch, Statistics
from mer.heads.linear_branch import LinearBranch, drop

Array = NDArray[np.float64]


def late_fusion_reference(
    state: dict[str, Array], units: dict[str, list[Array]], statistics: dict[str, tuple[Array, Array]]
) -> Array:
    """Zhao 2022, eq. 1 to 3 without the softmax, with plain loops."""
    utterances = len(next(iter(units.values())))
    logits = np.zeros((utterances, state[f"branches.{next(iter(units))}.b3"].shape[0]))
    for name in units:
        p = {key.removeprefix(f"branches.{name}."): value for key, value in state.items() if f".{name}." in key}
        mean, std = statistics[name]
        weights = p["average.weights"]
        for utterance in range(utterances):
            total = np.zeros(len(p["b2"]))
            for unit in units[name][utterance]:
                u = np.zeros(unit.shape[1])
                for layer, weight in enumerate(weights):
                    u += weight * (unit[layer] - mean[layer]) / std[layer]
                u /= weights.sum()
                u = (u - u.mean()) / np.sqrt(u.var() + 1e-5) * p["average.gain"] + p["average.bias"]
                h = np.maximum(p["w1"] @ u + p["b1"], 0)
                total += np.maximum(p["w2"] @ h + p["b2"], 0)
            logits[utterance] += p["w3"] @ (total / len(units[name][utterance])) + p["b3"]
    return logits


def make_head(shapes: dict[str, tuple[int, int]], *, dropout: float = 0.2, seed: int = 0) -> LateFusion:
    generator = torch.Generator().manual_seed(seed)
    return LateFusion(shapes, hidden=7, classes=4, dropout=dropout, generator=generator)


def pack(arrays: list[NDArray[np.float16]]) -> PackedBatch:
    return PackedBatch(
        units=tuple(torch.from_numpy(array) for array in arrays),
        lengths=torch.tensor([len(a) for a in arrays]),
    )


def random_input(
    shapes: dict[str, tuple[int, int]], utterances: int, seed: int
) -> tuple[dict[str, list[NDArray[np.float16]]], dict[str, Statistics]]:
    random = np.random.default_rng(seed)
    units = {
        name: [random.standard_normal((int(random.integers(1, 8)), *shape)).astype(np.float16) for _ in range(utterances)]
        for name, shape in shapes.items()
    }
    statistics = {
        name: Statistics(
            mean=torch.from_numpy(random.standard_normal(shape)),
            std=torch.from_numpy(random.uniform(0.5, 2, shape)),
        )
        for name, shape in shapes.items()
    }
    return units, statistics


def perturbed(head: LateFusion, seed: int) -> LateFusion:
    """Every parameter away from its start, so that gains, biases and weights all matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.5)
    return head


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from("FPSWT"), min_size=1, max_size=4, unique=True),
    utterances=st.integers(1, 4),
    layers=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_logits_equal_equations_one_to_three(names: list[str], utterances: int, layers: int, seed: int) -> None:
    shapes = {name: (layers, 5 + index) for index, name in enumerate(names)}
    head = perturbed(make_head(shapes, seed=seed).double(), seed)
    units, statistics = random_input(shapes, utterances, seed)
    found = head({name: pack(arrays) for name, arrays in units.items()}, statistics, None)
    expected = late_fusion_reference(
        {name: value.numpy() for name, value in head.state_dict().items()},
        {name: [array.astype(np.float64) for array in arrays] for name, arrays in units.items()},
        {name: (each.mean.numpy(), each.std.numpy()) for name, each in statistics.items()},
    )
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-9, atol=1e-9)


SHAPES = {"F": (3, 6), "T": (2, 5)}


def test_every_parameter_receives_a_gradient() -> None:
    head = perturbed(make_head(SHAPES), 1)
    units, _ = random_input(SHAPES, 8, 1)
    logits = head({n: pack(a) for n, a in units.items()}, {}, None)
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits, torch.arange(8) % 4))
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_neighbours_and_their_order_change_nothing() -> None:
    head = perturbed(make_head(SHAPES).double(), 2)
    units, statistics = random_input(SHAPES, 5, 2)
    together = head({n: pack(a) for n, a in units.items()}, statistics, None)
    for row in range(5):
        alone = head({n: pack([a[row]]) for n, a in units.items()}, statistics, None)
        torch.testing.assert_close(alone[0], together[row], rtol=1e-12, atol=1e-12)
    backwards = head({n: pack(a[::-1]) for n, a in units.items()}, statistics, None)
    torch.testing.assert_close(backwards.flip(0), together, rtol=1e-12, atol=1e-12)


def test_one_branch_alone_is_the_linear_head() -> None:
    head = make_head({"F": (3, 6)})
    units, _ = random_input({"F": (3, 6)}, 3, 3)
    branch = head.branches["F"]
    assert isinstance(branch, LinearBranch)
    torch.testing.assert_close(head({"F": pack(units["F"])}, {}, None), branch(pack(units["F"]), None, None))


def test_the_same_generator_gives_the_same_weights_and_dropout_and_the_global_one_is_left_alone() -> None:
    before = torch.get_rng_state()
    units, _ = random_input(SHAPES, 4, 4)
    batches = {n: pack(a) for n, a in units.items()}
    first, second = make_head(SHAPES, dropout=0.5), make_head(SHAPES, dropout=0.5)
    logits = [head(batches, {}, torch.Generator().manual_seed(5)) for head in (first, second)]
    torch.testing.assert_close(*logits, rtol=0, atol=0)
    assert not torch.equal(logits[0], first(batches, {}, torch.Generator().manual_seed(6)))
    assert not torch.equal(logits[0], first(batches, {}, None))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_dropout_zeroes_the_right_share_of_every_position_and_keeps_the_expectation(probability: float) -> None:
    values = torch.ones(100_001, 4)
    dropped = drop(values, probability, torch.Generator().manual_seed(0))
    kept = set(dropped.flatten().tolist()) - {0.0}
    np.testing.assert_allclose(list(kept), [1 / (1 - probability)], rtol=1e-3)
    # Four standard deviations of a share of 100,001 draws.
    tolerance = 4 * np.sqrt(probability * (1 - probability) / 100_001)
    np.testing.assert_allclose((dropped == 0).double().mean(0), np.full(4, probability), atol=tolerance)
    np.testing.assert_allclose(dropped.double().mean(), 1, atol=tolerance / (1 - probability))


@pytest.mark.parametrize(("probability", "seeded"), [(0.0, True), (0.9, False)])
def test_without_a_generator_or_probability_nothing_is_dropped(probability: float, seeded: bool) -> None:
    values = torch.ones(100)
    assert torch.equal(drop(values, probability, torch.Generator() if seeded else None), values)


def test_layer_shares_are_the_weights_over_their_sum() -> None:
    head = make_head({"F": (3, 6)})
    branch = head.branches["F"]
    assert isinstance(branch, LinearBranch)
    with torch.no_grad():
        branch.average.weights.copy_(torch.tensor([1.0, 2.0, 1.0]))
    assert head.layer_shares() == {"F": [0.25, 0.5, 0.25]}
