"""The kernels of the device path, run by Triton's interpreter, against float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mer.heads import FeatureSource
from mer.heads.config import head_config
from mer.heads.features.device_reads import DeviceReads
from mer.heads.features.step import plan_step
from mer.heads.fusion.build_head import build_head
from mer.heads.stacked.device.attention import Meetings, attend
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.draws import Draws, kept, step_keys
from mer.heads.stacked.device.launch import listening
from mer.heads.stacked.device.layer_average import LayerSums
from mer.heads.stacked.device.linear import After, stacked_linear
from mer.heads.stacked.device.own_step import taken
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.device.stacked_adam import StackedAdam
from mer.heads.training.device_stack import DeviceStack, summed_losses
from mer.heads.training.stacked_forward import stacked_logits
from mer.tests.heads.test_device_compile import KERNELS
from mer.tests.heads.touched_bytes import TouchedBytes

pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("touched")

CPU = torch.device("cpu")
FLOAT = DevicePath(kernels=True)
ACTIVE = (False, True)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def draws_of(runs: int) -> Draws:
    return Draws(keys=torch.from_numpy(step_keys(np.arange(runs), np.arange(runs))).int())


def after_of(active: bool, runs: int) -> After:
    return After(relu=True, dropped=20000, draws=draws_of(runs)) if active else After()


def gradients(out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weight = draw(*out.shape, seed=99).detach().to(out.dtype)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)]


def doubles(inputs: list[Tensor]) -> list[Tensor]:
    return [each.detach().double().requires_grad_() for each in inputs]


def close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        scale = float(other.abs().max())
        np.testing.assert_allclose(one.double(), other, rtol=0, atol=tolerance * max(scale, 1))


def layer(values: Tensor, weights: Tensor, biases: Tensor, sizes: list[int], after: After) -> Tensor:
    """The equation, run by run, in the precision of what is given."""
    parts = zip(torch.split(values, sizes), weights, biases, strict=True)
    out = torch.cat([part @ weight.T + bias for part, weight, bias in parts])
    if not after.relu:
        return out
    return out.relu() * kept(draws_of(len(sizes)), 0, sizes, out.shape[1], after.dropped) * after.scale


@pytest.mark.parametrize("active", ACTIVE)
def test_linear_layers_equal_the_equation_forward_and_backward(active: bool) -> None:
    sizes = [66, 0, 3]
    inputs = [draw(69, 35, seed=0), draw(3, 18, 35, seed=1), draw(3, 18, seed=2)]
    found = stacked_linear(inputs[0], inputs[1], inputs[2], RunRows(sizes, FLOAT, CPU), after_of(active, 3))
    exact = doubles(inputs)
    close(gradients(found, inputs), gradients(layer(exact[0], exact[1], exact[2], sizes, after_of(active, 3)), exact), 1e-5)


def planted() -> tuple[Tensor, DeviceReads, list[Tensor]]:
    """Stored units, what four runs want of them (one wants nothing, one goes its own way), and these units."""
    random = np.random.default_rng(0)
    lengths = np.array([66, 1, 9, 3])
    starts = np.cumsum(lengths) - lengths
    units = torch.from_numpy((2 + random.standard_normal((79, 2, 20))).astype(np.float16))
    wanted = [np.array([0, 3]), np.array([], dtype=np.int64), np.array([3, 1]), np.array([2, 3])]
    reads = DeviceReads(units, plan_step(wanted, [0, 0, 0, 1]), lengths, starts)
    rows = [np.concatenate([np.arange(int(lengths[row])) + starts[row] for row in each] or [[]]).astype(int) for each in wanted]
    return units, reads, [units[each].double() for each in rows]


def average(factors: Tensor, shifts: Tensor, units: list[Tensor]) -> Tensor:
    sums = [(each * factor).sum(1) + shift for each, factor, shift in zip(units, factors, shifts, strict=True)]
    return torch.nn.functional.layer_norm(torch.cat(sums), (factors.shape[2],))


def test_the_layer_average_equals_float64_forward_and_backward_and_is_the_same_every_time() -> None:
    _, reads, units = planted()
    inputs = [draw(4, 2, 20, seed=0), draw(4, 20, seed=1)]
    exact = doubles(inputs)
    results = []
    for _ in range(2):
        sums = LayerSums(factors=inputs[0], shifts=inputs[1], reads=reads, rows=RunRows(reads.sizes, FLOAT, CPU))
        results.append(gradients(sums.normalized(), inputs))
    close(results[0], gradients(average(exact[0], exact[1], units), exact), 1e-5)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-5), pytest.param("tf32", 1e-3, marks=pytest.mark.slow), ("bfloat16", 0.15)]
)
def test_with_the_linear_layer_after_it_too(precision: str, tolerance: float) -> None:
    _, reads, units = planted()
    inputs = [draw(4, 2, 20, seed=0), draw(4, 20, seed=1), draw(4, 10, 20, seed=2), draw(4, 10, seed=3)]
    path = DevicePath(kernels=True, precision=precision)
    sums = LayerSums(factors=inputs[0], shifts=inputs[1], reads=reads, rows=RunRows(reads.sizes, path, CPU, path.hidden))
    found = gradients(sums.linear(inputs[2], inputs[3], after_of(True, 4)), inputs)
    exact = doubles(inputs)
    sizes = [len(each) for each in units]
    expected = gradients(layer(average(exact[0], exact[1], units), exact[2], exact[3], sizes, after_of(True, 4)), exact)
    close(found, expected, tolerance)


@pytest.mark.parametrize("kernels", [True, False])
def test_adam_of_a_stack_is_that_of_each_run_at_its_own_step(kernels: bool) -> None:
    starts = [draw(3, 5, 2, seed=0).detach(), draw(3, 4, seed=1).detach()]
    own = [[each[run].double().clone().requires_grad_() for each in starts] for run in range(3)]
    alone = [torch.optim.Adam(each, lr=0.1) for each in own]
    leaves = [torch.nn.Parameter(each.clone()) for each in starts]
    moments = [(torch.zeros_like(each), torch.zeros_like(each)) for each in starts]
    adam, steps = StackedAdam(leaves, moments, DevicePath(kernels=kernels)), np.zeros(3, dtype=np.int64)
    for number, part in enumerate([(True, True, False), (True, False, True), (False, True, True)]):
        given = [draw(*each.shape, seed=10 + number).detach() for each in starts]
        for leaf, gradient in zip(leaves, given, strict=True):
            leaf.grad = gradient.clone()
        steps += part
        adam.begin(0.1, np.maximum(steps, 1), part)
        adam.step()
        for run in np.flatnonzero(part).tolist():
            for mine, gradient in zip(own[run], given, strict=True):
                mine.grad = gradient[run].double()
            alone[run].step()
    for run in range(3):
        close([leaf.detach()[run] for leaf in leaves], [each.detach() for each in own[run]], 1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("tf32", 1e-3)])
def test_weights_are_moved_by_the_kernel_that_makes_their_gradient(precision: str, tolerance: float) -> None:
    sizes, values, states, path = [3, 0, 2], draw(5, 12, seed=0).detach(), [], DevicePath(kernels=True, precision=precision)
    for fused in (True, False):
        # A view of one attention head after the other, a layer that is used twice, and one for all.
        shapes = [(3, 12, 8), (3, 12, 12), (3, 20, 24)]
        leaves = [torch.nn.Parameter(draw(*shape, seed=1 + number).detach()) for number, shape in enumerate(shapes)]
        moments = [tuple(draw(*shape, seed=9).detach() ** 2 for _ in range(2)) for shape in shapes]
        adam, rows = StackedAdam(leaves, moments, path), RunRows(sizes, path, CPU)  # type: ignore[arg-type]
        for _ in range(2):
            if fused:
                adam.begin(0.1, np.array([3, 1, 2]), [True, False, True])
            none = torch.zeros(3, 24)
            twice = stacked_linear(stacked_linear(values, leaves[1], none[:, :12], rows), leaves[1], none[:, :12], rows)
            by_head = stacked_linear(twice, leaves[0].view(3, 3, 4, 8).transpose(2, 3), torch.zeros(3, 3, 8), rows)
            torch.autograd.backward((stacked_linear(by_head, leaves[2], none[:, :20], rows, after_of(True, 3)) ** 2).sum())
            stored = [each.grad is not None for each in leaves]
            assert stored == ([False, True, False] if fused else [True] * 3)
            if not fused:
                adam.begin(0.1, np.array([3, 1, 2]), [True, False, True])
            adam.step()
            # What the next product takes is what the weights are now, in the precision of the product.
            for each in leaves:
                assert torch.equal(taken(each, path.normal), each.detach().to(path.normal))
        states.append([each.detach() for each in (*leaves, *(moment for pair in moments for moment in pair))])
    close(states[0], states[1], tolerance)
    assert not torch.equal(states[0][0][0], draw(3, 12, 8, seed=1)[0])


def test_draws_keep_the_share_that_is_asked_for_and_differ_by_run_step_and_call() -> None:
    draws = Draws(keys=torch.from_numpy(step_keys(np.array([5, 5, 6]), np.array([0, 1, 0]))).int())
    masks = [*torch.split(kept(draws, 0, [200] * 3, 100, 13107), 200), kept(draws, 1, [200], 100, 13107)]
    for mask in masks:
        # Four deviations of 20,000 draws.
        assert abs(float(mask.double().mean()) - (1 - 13107 / 2**16)) < 0.0114
    agreements = [float((one == other).double().mean()) for at, one in enumerate(masks) for other in masks[:at]]
    np.testing.assert_allclose(agreements, 0.2**2 + 0.8**2, atol=0.02)


def cost_of(fusion: str, granularities: str, runs: int, utterances: int, **fields: Any) -> tuple[float, float]:
    """Kernels of a step, and gigabytes of a step of one run."""
    from mer.bench.device_cost import count

    config = head_config(fusion=fusion, granularities=tuple(granularities.split("+")), max_epochs=1, **fields)
    cost, steps = count(config, runs, utterances, 4e14)
    return cost.kernels / len(steps), cost.bytes / sum(len(step.rows) for step in steps) / 1e9


def test_a_step_is_few_kernels_and_few_bytes_and_waits_for_nothing() -> None:
    # Forty utterances are one step of 29, in which the copies of the weights are made, too: one kernel a weight.
    kernels, gigabytes = cost_of("late", "F+S+T", 5, 40)
    assert kernels <= 170
    assert gigabytes < 0.185
    kernels, gigabytes = cost_of("coattention", "F+T", 2, 40, attention_layers=1)
    assert kernels <= 181
    assert gigabytes < 1.27


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "most_kernels", "most"), [("tf32", 558, 5.29), ("bfloat16", 558, 5.22)])
def test_so_is_one_of_the_whole_coattention_head(precision: str, most_kernels: int, most: float) -> None:
    kernels, gigabytes = cost_of("coattention", "F+S+T", 5, 120, precision=precision)
    assert kernels < most_kernels
    assert gigabytes < most


def test_each_attention_head_has_its_own_weights() -> None:
    sizes, inputs = [3, 0, 2], [draw(5, 12, seed=0), draw(3, 3, 8, 4, seed=1), draw(3, 3, 8, seed=2)]
    found = stacked_linear(inputs[0], inputs[1], inputs[2], RunRows(sizes, FLOAT, CPU))
    exact = doubles(inputs)
    parts = torch.split(exact[0].view(5, 3, 4), sizes)
    heads = [torch.einsum("nhi,hoi->nho", *each) + bias for *each, bias in zip(parts, exact[1], exact[2], strict=True)]
    close(gradients(found, inputs), gradients(torch.cat(heads).flatten(1), exact), 1e-5)


def test_attention_per_head_equals_float64() -> None:
    queries, keys, heads = [34, 1, 3], [2, 33, 1], 2
    inputs = [draw(sum(size), 6, seed=seed) for seed, size in enumerate((queries, keys, keys))]
    meetings = Meetings(torch.tensor(queries), torch.tensor(keys), heads, FLOAT, CPU)
    found = attend(inputs[0], inputs[1], inputs[2], meetings)
    exact, expected = doubles(inputs), []
    parts = [torch.split(each, size) for each, size in zip(exact, (queries, keys, keys), strict=True)]
    for one, key, value in zip(*parts, strict=True):
        q, k, v = (each.view(len(each), heads, -1).transpose(0, 1) for each in (one, key, value))
        expected.append(((q @ k.transpose(1, 2) / 3**0.5).softmax(2) @ v).transpose(0, 1).flatten(1))
    close(gradients(found, inputs), gradients(torch.cat(expected), exact), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fusion", "granularities", "heads", "kernel"),
    [
        ("late", "F+T", 1, "linear_forward"),
        ("concatenation", "F+T", 1, "linear_forward"),
        ("coattention", "F+T", 1, "pair_scores"),
        ("coattention", "F+T", 4, "attend_forward"),
        ("transformer", "F", 2, "attend_forward"),
    ],
)
def test_a_stack_by_kernels_gives_logits_and_gradients_of_each_run(
    make_cache: Callable[..., Any], fusion: str, granularities: str, heads: int, kernel: str
) -> None:
    fields: dict[str, Any] = {"attention_layers": 1, "attention_heads": heads} if fusion in {"coattention", "transformer"} else {}
    fields |= {"modality": "speech"} if fusion == "transformer" else {}
    names = tuple(granularities.split("+"))
    config, cache = head_config(fusion=fusion, granularities=names, hidden=6, **fields), make_cache()
    sources = {name: FeatureSource(cache.packed(name), device=CPU, resident=True) for name in config.branches}
    step = plan_step([np.array([0, 3]), np.array([3, 5])], [0, 0])
    runs = [build_head(config, {name: (3, 8) for name in config.branches}, 4, seed, "1") for seed in range(2)]
    stack, launched = DeviceStack(runs[0], {}, 2, FLOAT, CPU), set()
    for seed, head in enumerate(runs):
        stack.enter(head, {}, seed)
    weight = torch.arange(16.0).view(4, 4)
    with listening(lambda each: launched.add(each.name)):
        found, expected = stack.logits(sources, step, None), stacked_logits(runs, [{}, {}], sources, step, None)
    assert kernel in launched
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=1e-5, atol=1e-6)
    for logits in (found, expected):
        torch.autograd.backward((logits * weight).sum())
    for name, leaf in stack.module.named_parameters():
        for run, head in enumerate(runs):
            own = head.get_parameter(name).grad
            assert leaf.grad is not None
            assert own is not None
            close([leaf.grad[run]], [own], 1e-5)


def test_a_run_that_gets_its_best_weights_back_is_tested_with_them(make_cache: Callable[..., Any]) -> None:
    config, cache, path = (
        head_config(fusion="late", granularities=("F", "T"), hidden=6),
        make_cache(),
        DevicePath(kernels=True, precision="tf32"),
    )
    sources = {name: FeatureSource(cache.packed(name), device=CPU, resident=True) for name in config.branches}
    heads = [build_head(config, {name: (3, 8) for name in config.branches}, 4, seed, "1") for seed in range(2)]
    stacks, step = [DeviceStack(each, {}, 1, path, CPU) for each in heads], plan_step([np.array([0, 3])])
    found = []
    for stack, first in zip(stacks, heads, strict=True):
        slot = stack.enter(first, {}, 0)
        with torch.inference_mode():
            stack.logits(sources, step, None)
            slot.load_state_dict(heads[1].state_dict())
            found.append(stack.logits(sources, step, None))
    assert torch.equal(*found)
    # The copies that a test has made are those of the training after it.
    stacks[0].train_step(sources, step, lambda logits: summed_losses(logits.pow(2).sum(1), [2]), 0.01)
    own = [each for each in stacks[0].module.parameters() if hasattr(each, "own_step") and each.ndim == 3]
    assert all(torch.equal(taken(each, path.normal), each.detach().to(path.normal)) for each in own)


def trained(cache: Any, fusion: str, granularities: str, heads: int) -> list[Tensor]:
    """Every parameter of two runs after two steps, dropout included."""
    fields: dict[str, Any] = {"attention_layers": 3 - heads, "attention_heads": heads} if fusion == "coattention" else {}
    config = head_config(fusion=fusion, granularities=tuple(granularities.split("+")), hidden=6, **fields)
    sources = {name: FeatureSource(cache.packed(name), device=CPU, resident=True) for name in config.branches}
    runs = [build_head(config, {name: (3, 8) for name in config.branches}, 4, seed, "1") for seed in range(2)]
    stack = DeviceStack(runs[0], {}, 2, DevicePath(kernels=True, precision="tf32"), CPU)
    for seed, head in enumerate(runs):
        stack.enter(head, {}, seed)

    def losses(logits: Tensor) -> tuple[Tensor, Tensor]:
        each = torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 4, reduction="none")
        return summed_losses(each, [2, 2])

    for _ in range(2):
        stack.train_step(sources, plan_step([np.array([0, 3]), np.array([3, 5])], [0, 0]), losses, 0.01)
    return [each.detach().clone() for each in stack.module.parameters()]


@pytest.mark.slow
def test_training_is_the_same_every_time_and_every_kernel_does_what_it_says(
    make_cache: Callable[..., Any], touched: TouchedBytes
) -> None:
    cache = make_cache()
    for shape in (("late", "F+T", 1), ("coattention", "F+T", 1), ("coattention", "S+T", 2)):
        once, again = (trained(cache, *shape) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))
    # No head asks for the layer average alone.
    assert touched.kernels == {name for _, name, *_ in KERNELS} - {"row_means"}
