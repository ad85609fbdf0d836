from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mer.heads import HeadError
from mer.heads.fusion.head import StackedUnits
from mer.heads.fusion.transformer_head import TransformerHead

Array = NDArray[np.float64]
DIM = 6


@pytest.fixture(autouse=True)
def _utterances_share_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few units would otherwise never be padded."""
    monkeypatch.setattr("mer.heads.stacked.sequence_pairs.PADDING_SHARE", 1.0)


def norm(x: Array, gain: Array, bias: Array) -> Array:
    normed: Array = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gain + bias
    return normed


def layer_reference(p: dict[str, Array], states: Array, heads: int) -> Array:
    """One post-normalised encoder layer (Vaswani et al. 2017, sections 3.1 to 3.3) of one utterance."""
    width = states.shape[1] // heads
    q, k, v = states @ p["wq"].T + p["bq"], states @ p["wk"].T, states @ p["wv"].T + p["bv"]
    joined = np.zeros_like(states)
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        exponentials = np.exp(q[:, own] @ k[:, own].T / np.sqrt(width))
        joined[:, own] = exponentials / exponentials.sum(1, keepdims=True) @ v[:, own]
    x = norm(states + joined @ p["wo"].T + p["bo"], p["gain1"], p["bias1"])
    return norm(x + np.maximum(x @ p["w1"].T + p["b1"], 0) @ p["w2"].T + p["b2"], p["gain2"], p["bias2"])


def transformer_reference(head: TransformerHead, utterances: Sequence[Array], attention_heads: int) -> Array:
    state = {name: value.detach().numpy() for name, value in head.named_parameters()}
    logits = []
    for normalised in utterances:
        states = normalised * state["averages.F.gain"] + state["averages.F.bias"]
        for depth in range(len(head.layers)):
            states = layer_reference(prefixed(state, f"layers.{depth}."), states, attention_heads)
        hidden = np.maximum(state["w1"] @ states.mean(0) + state["b1"], 0)
        logits.append(state["w2"] @ hidden + state["b2"])
    return np.stack(logits)


def prefixed(state: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def make_head(seed: int, *, attention_heads: int = 2, layers: int = 3, dropout: float = 0.2) -> TransformerHead:
    """A float64 head with every parameter away from its start."""
    generator = torch.Generator().manual_seed(seed)
    head = TransformerHead(
        {"F": (3, DIM)},
        classes=4,
        hidden=5,
        dropout=dropout,
        attention_heads=attention_heads,
        attention_layers=layers,
        feed_forward_ratio=2,
        generator=generator,
    ).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype) - 0.5)
    return head


def random_runs(seed: int, runs: Sequence[Sequence[int]]) -> list[list[Array]]:
    random = np.random.default_rng(seed)
    return [[norm(random.standard_normal((n, DIM)), np.ones(DIM), np.zeros(DIM)) for n in lengths] for lengths in runs]


def stacked(runs: Sequence[Sequence[Array]]) -> dict[str, StackedUnits]:
    units = [each for run in runs for each in run]
    return {
        "F": StackedUnits(
            values=torch.from_numpy(np.concatenate(units)),
            lengths=torch.tensor([len(each) for each in units]),
            sizes=tuple(sum(len(each) for each in run) for run in runs),
            utterances=tuple(len(run) for run in runs),
        )
    }


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    attention_heads=st.sampled_from([1, 2, 3, 6]),
    layers=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_logits_equal_the_equations(lengths: list[int], attention_heads: int, layers: int, seed: int) -> None:
    head = make_head(seed, attention_heads=attention_heads, layers=layers)
    (run,) = random_runs(seed, [[*lengths, 1]])
    found = TransformerHead.logits([head], stacked([run]), None)
    expected = transformer_reference(head, run, attention_heads)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_gradients_pass_gradcheck() -> None:
    head = make_head(1, layers=1)
    (run,) = random_runs(1, [[2, 1]])
    units = stacked([run])["F"]
    used = [parameter for name, parameter in head.named_parameters() if name != "averages.F.weights"]

    def logits(values: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        given = StackedUnits(values=values, lengths=units.lengths, sizes=units.sizes, utterances=units.utterances)
        return TransformerHead.logits([head], {"F": given}, None)

    assert torch.autograd.gradcheck(logits, (units.values.requires_grad_(), *used), fast_mode=True)


def test_every_parameter_receives_a_gradient() -> None:
    """The layer weights receive theirs through the units, which are made outside of the head."""
    head = make_head(2)
    (run,) = random_runs(2, [[3, 1, 4, 2]])
    units = stacked([run])
    units["F"].values.requires_grad_()
    logits = TransformerHead.logits([head], units, None)
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits, torch.arange(4)))
    for name, gradient in {name: parameter.grad for name, parameter in head.named_parameters()}.items():
        if name != "averages.F.weights":
            assert gradient is not None, name
            assert float(gradient.abs().max()) > 1e-6, name
    assert units["F"].values.grad is not None
    assert (units["F"].values.grad.abs().sum(1) > 0).all()


def test_neighbours_and_their_order_change_nothing() -> None:
    head = make_head(3)
    (run,) = random_runs(3, [[5, 1, 3, 5, 2]])
    together = TransformerHead.logits([head], stacked([run]), None)
    alone = [TransformerHead.logits([head], stacked([[each]]), None) for each in run]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)
    backwards = TransformerHead.logits([head], stacked([run[::-1]]), None)
    torch.testing.assert_close(backwards.flip(0), together, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seeded", [True, False])
def test_a_run_among_others_gives_what_it_gives_alone(seeded: bool) -> None:
    """Logits and gradients, with each run's own dropout and without."""
    runs = random_runs(4, [[5, 2], [1, 6], [3, 3, 4]])

    def results(numbers: Sequence[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        heads = [make_head(number) for number in numbers]
        generators = [torch.Generator().manual_seed(number) for number in numbers] if seeded else None
        logits = TransformerHead.logits(heads, stacked([runs[number] for number in numbers]), generators)
        torch.autograd.backward((logits**2).sum())
        return logits, [p.grad for head in heads for p in head.parameters() if p.grad is not None]

    logits, gradients = results([0, 1, 2])
    alone = [results([number]) for number in range(3)]
    torch.testing.assert_close(logits, torch.cat([each for each, _ in alone]), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradients, [each for _, several in alone for each in several], rtol=1e-10, atol=1e-10)
    if seeded:
        without = TransformerHead.logits([make_head(number) for number in range(3)], stacked(runs), None)
        assert (logits - without).abs().amax(1).median() > 1e-3


def test_dropout_comes_before_the_last_layer_and_not_after_it() -> None:
    head = make_head(5, dropout=0.5)
    with torch.no_grad():
        head.w1.zero_()
        head.b1.fill_(1)
        head.w2.copy_(torch.tensor([1.0, 10, 100, 1000, 10000]).expand(4, 5))
        head.b2.copy_(torch.arange(4))
    (run,) = random_runs(5, [[2] * 50])
    logits = TransformerHead.logits([head], stacked([run]), [torch.Generator().manual_seed(0)]).detach()
    digits = set("".join(f"{round(value):05d}" for value in logits[:, 0].tolist()))
    assert digits == {"0", "2"}
    torch.testing.assert_close(logits - logits[:, :1], torch.arange(4).double().expand(50, 4))


def test_the_encoder_layers_drop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head's own dropout is switched off; what is left is that of the layers."""
    monkeypatch.setattr("mer.heads.stacked.hidden_layer.grouped_relu_dropout", lambda values, *_: values.relu_())
    head = make_head(6, layers=1)
    units = stacked(random_runs(6, [[3, 4, 5]]))
    dropped = TransformerHead.logits([head], units, [torch.Generator().manual_seed(0)])
    assert float((dropped - TransformerHead.logits([head], units, None)).detach().abs().max()) > 1e-3


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second, third = (make_head(seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["layers.0.wq"], third["layers.0.wq"])
    assert not torch.equal(first["layers.0.wq"], first["layers.1.wq"])
    head = TransformerHead(
        {"T": (2, 4)}, classes=3, hidden=7, dropout=0, attention_heads=2, generator=torch.Generator(), softmax=True
    )
    assert {name: tuple(head.state_dict()[name].shape) for name in ("w1", "w2", "layers.2.w1")} == {
        "w1": (7, 4),
        "w2": (3, 7),
        "layers.2.w1": (16, 4),
    }
    assert head.average("T").softmax


@pytest.mark.parametrize(("shapes", "given"), [({"F": (2, 4), "T": (2, 4)}, r"F\+T"), ({}, "none")])
def test_one_granularity_is_asked_for(shapes: dict[str, tuple[int, int]], given: str) -> None:
    with pytest.raises(HeadError, match=f"a transformer head has one granularity, got {given}"):
        TransformerHead(shapes, classes=4, hidden=4, dropout=0.2, attention_heads=2, generator=torch.Generator())
