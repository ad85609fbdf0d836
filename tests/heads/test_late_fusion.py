from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mer.heads import Concatenation, Head, HeadError, LateFusion, StackedUnits, Statistics
from mer.heads.features.reads import Piece, SharedReads
from mer.heads.stacked.layer_average import normalized_averages

Array = NDArray[np.float64]


def late_fusion_reference(
    state: dict[str, Array], units: dict[str, list[Array]], statistics: dict[str, tuple[Array, Array]]
) -> Array:
    """Zhao 2022, eq. 1 to 3 without the softmax, with plain loops."""
    utterances = len(next(iter(units.values())))
    logits = np.zeros((utterances, state[f"branches.{next(iter(units))}.b3"].shape[0]))
    for name in units:
        p = {key.split(".")[-1]: value for key, value in state.items() if f".{name}." in key}
        mean, std = statistics[name]
        weights = p["weights"]
        for utterance in range(utterances):
            total = np.zeros(len(p["b2"]))
            for unit in units[name][utterance]:
                u = np.zeros(unit.shape[1])
                for layer, weight in enumerate(weights):
                    u += weight * (unit[layer] - mean[layer]) / std[layer]
                u /= weights.sum()
                u = (u - u.mean()) / np.sqrt(u.var() + 1e-5) * p["gain"] + p["bias"]
                h = np.maximum(p["w1"] @ u + p["b1"], 0)
                total += np.maximum(p["w2"] @ h + p["b2"], 0)
            logits[utterance] += p["w3"] @ (total / len(units[name][utterance])) + p["b3"]
    return logits


def make_head(shapes: dict[str, tuple[int, int]], *, dropout: float = 0.2, seed: int = 0) -> LateFusion:
    generator = torch.Generator().manual_seed(seed)
    return LateFusion(shapes, hidden=7, classes=4, dropout=dropout, generator=generator)


Units = dict[str, list[NDArray[np.float16]]]


def logits_of(
    head: Head, units: Units, statistics: dict[str, Statistics], generator: torch.Generator | None = None
) -> torch.Tensor:
    """Logits of one run."""
    return stacked([head], [units], [statistics], None if generator is None else [generator])


def stacked(
    heads: list[Head], units: list[Units], statistics: list[dict[str, Statistics]], generators: list[torch.Generator] | None
) -> torch.Tensor:
    """Logits of several runs, each with utterances of its own."""
    values = {}
    for name in units[0]:
        pieces, place = [], 0
        for run, each in enumerate(units):
            for array in each[name]:
                pieces.append(Piece(torch.from_numpy(array), ((run, place),)))
                place += len(array)
        lengths = torch.tensor([len(array) for each in units for array in each[name]])
        sizes = tuple(sum(len(array) for array in each[name]) for each in units)
        reads = SharedReads(pieces, sizes, lengths)
        averages = [head.average(name) for head in heads]
        normalized = normalized_averages(averages, [each.get(name) for each in statistics], reads)
        utterances = tuple(len(each[name]) for each in units)
        values[name] = StackedUnits(values=normalized, lengths=lengths, sizes=sizes, utterances=utterances)
    return type(heads[0]).logits(heads, values, generators)


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


def perturbed(head: Head, seed: int) -> Head:
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
    found = logits_of(head, units, statistics)
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
    logits = logits_of(head, units, {})
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits, torch.arange(8) % 4))
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_neighbours_and_their_order_change_nothing() -> None:
    head = perturbed(make_head(SHAPES).double(), 2)
    units, statistics = random_input(SHAPES, 5, 2)
    together = logits_of(head, units, statistics)
    for row in range(5):
        alone = logits_of(head, {n: [a[row]] for n, a in units.items()}, statistics)
        torch.testing.assert_close(alone[0], together[row], rtol=1e-12, atol=1e-12)
    backwards = logits_of(head, {n: a[::-1] for n, a in units.items()}, statistics)
    torch.testing.assert_close(backwards.flip(0), together, rtol=1e-12, atol=1e-12)


def test_the_same_generator_gives_the_same_weights_and_dropout_and_the_global_one_is_left_alone() -> None:
    before = torch.get_rng_state()
    units, _ = random_input(SHAPES, 4, 4)
    first, second = make_head(SHAPES, dropout=0.5), make_head(SHAPES, dropout=0.5)
    logits = [logits_of(head, units, {}, torch.Generator().manual_seed(5)) for head in (first, second)]
    torch.testing.assert_close(*logits, rtol=0, atol=0)
    assert not torch.equal(logits[0], logits_of(first, units, {}, torch.Generator().manual_seed(6)))
    assert not torch.equal(logits[0], logits_of(first, units, {}))
    assert torch.equal(torch.get_rng_state(), before)


def test_layer_shares_are_the_weights_over_their_sum() -> None:
    head = make_head({"F": (3, 6)})
    with torch.no_grad():
        head.average("F").weights.copy_(torch.tensor([1.0, 2.0, 1.0]))
    assert head.layer_shares() == {"F": [0.25, 0.5, 0.25]}


def concatenation_reference(state: dict[str, Array], units: dict[str, list[Array]]) -> Array:
    """One linear branch over the concatenated sequence of all granularities, with plain loops."""
    first = next(iter(units))
    p = {key.split(".")[-1]: value for key, value in state.items() if key.startswith("shared.")}
    logits = []
    for utterance in range(len(units[first])):
        sequence = []
        for name in units:
            weights = state[f"averages.{name}.weights"]
            for unit in units[name][utterance]:
                u = sum(weight * unit[layer] for layer, weight in enumerate(weights)) / weights.sum()
                u = (u - u.mean()) / np.sqrt(u.var() + 1e-5)
                sequence.append(u * state[f"averages.{name}.gain"] + state[f"averages.{name}.bias"])
        hidden = [np.maximum(p["w2"] @ np.maximum(p["w1"] @ u + p["b1"], 0) + p["b2"], 0) for u in sequence]
        logits.append(p["w3"] @ np.mean(hidden, axis=0) + p["b3"])
    return np.array(logits)


def make_concatenation(shapes: dict[str, tuple[int, int]], *, dropout: float = 0.2, seed: int = 0) -> Concatenation:
    return Concatenation(shapes, hidden=7, classes=4, dropout=dropout, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_concatenation_is_one_branch_over_all_units_of_a_sequence(seed: int) -> None:
    shapes = {"F": (3, 6), "P": (2, 6), "T": (4, 6)}
    head = perturbed(make_concatenation(shapes, seed=seed).double(), seed)
    units, _ = random_input(shapes, 3, seed)
    expected = concatenation_reference(
        {name: value.numpy() for name, value in head.state_dict().items()},
        {name: [array.astype(np.float64) for array in arrays] for name, arrays in units.items()},
    )
    np.testing.assert_allclose(logits_of(head, units, {}).detach().numpy(), expected, rtol=1e-9, atol=1e-9)


def test_concatenation_refuses_encoders_of_two_widths() -> None:
    with pytest.raises(HeadError, match="concatenation needs units of one dim, got F 6, T 5: use late fusion"):
        make_concatenation(SHAPES)


@pytest.mark.parametrize("make", [make_head, make_concatenation])
def test_runs_in_a_stack_have_the_logits_and_gradients_they_have_alone(make: Callable[..., Head]) -> None:
    shapes = {"F": (3, 16), "T": (2, 16)}
    heads = [perturbed(make(shapes, dropout=0.4, seed=seed), seed) for seed in range(3)]
    inputs = [random_input(shapes, utterances, seed) for seed, utterances in enumerate((4, 1, 6))]
    units, statistics = [each for each, _ in inputs], [each for _, each in inputs]
    together = stacked(heads, units, statistics, [torch.Generator().manual_seed(seed) for seed in range(3)])
    torch.autograd.backward(together.square().sum())
    for seed, part in enumerate(torch.split(together, [4, 1, 6])):
        own = make(shapes, dropout=0.4, seed=seed)
        own.load_state_dict(heads[seed].state_dict())
        alone = logits_of(own, units[seed], statistics[seed], torch.Generator().manual_seed(seed))
        torch.testing.assert_close(alone, part)
        torch.autograd.backward(alone.square().sum())
        for (name, parameter), other in zip(own.named_parameters(), heads[seed].parameters(), strict=True):
            assert parameter.grad is not None, name
            assert float(parameter.grad.abs().sum()) > 0, name
            torch.testing.assert_close(parameter.grad, other.grad)


@pytest.mark.parametrize("make", [make_head, make_concatenation])
def test_gradients_of_logits_pass_gradcheck(make: Callable[..., Head]) -> None:
    head = perturbed(make({"F": (2, 4), "T": (2, 4)}).double(), 3)
    units, _ = random_input({"F": (2, 4), "T": (2, 4)}, 2, 3)
    names, values = zip(*head.named_parameters(), strict=True)

    def logits(*parameters: torch.Tensor) -> torch.Tensor:
        with torch.nn.utils.stateless._reparametrize_module(head, dict(zip(names, parameters, strict=True))):
            return logits_of(head, units, {})

    assert torch.autograd.gradcheck(logits, values)
