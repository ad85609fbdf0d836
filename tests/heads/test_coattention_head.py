from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mer.heads import HeadError
from mer.heads.fusion.coattention_head import CoattentionHead
from mer.heads.fusion.head import StackedUnits

Array = NDArray[np.float64]
Utterance = dict[str, Array]
DIM = 6


@pytest.fixture(autouse=True)
def _utterances_share_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few units would otherwise never be padded."""
    monkeypatch.setattr("mer.heads.stacked.sequence_pairs.PADDING_SHARE", 1.0)


def norm(x: Array, gain: Array | float = 1.0, bias: Array | float = 0.0) -> Array:
    normed: Array = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gain + bias
    return normed


def branch_reference(p: dict[str, Array], queries: Array, keys: Array, heads: int) -> Array:
    """One branch of figure 3 of one utterance: Q from one modality, K and V from the other."""
    width = queries.shape[1] // heads
    q, k, v = queries @ p["wq"].T + p["bq"], keys @ p["wk"].T, keys @ p["wv"].T + p["bv"]
    joined = np.zeros_like(queries)
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        exponentials = np.exp(q[:, own] @ k[:, own].T / np.sqrt(width))
        joined[:, own] = exponentials / exponentials.sum(1, keepdims=True) @ v[:, own]
    x = norm(queries + joined @ p["wo"].T + p["bo"], p["gain1"], p["bias1"])
    return norm(x + np.maximum(x @ p["w1"].T + p["b1"], 0) @ p["w2"].T + p["b2"], p["gain2"], p["bias2"])


def coattention_reference(head: CoattentionHead, utterances: Sequence[Utterance], attention_heads: int) -> Array:
    """Zhao 2022, section 2.3 and eq. 4 without the softmax."""
    state = {name: value.detach().numpy() for name, value in head.named_parameters()}
    logits = []
    for utterance in utterances:
        c = embedding_reference(head, utterance, attention_heads)
        g = norm(np.maximum(state["w4"] @ c + state["b4"], 0) + c, state["gain"], state["bias"])
        logits.append(state["w5"] @ g + state["b5"])
    return np.stack(logits)


def embedding_reference(head: CoattentionHead, utterance: Utterance, attention_heads: int) -> Array:
    """c of one utterance: what comes out of the coattention model and the global average."""
    state = {name: value.detach().numpy() for name, value in head.named_parameters()}
    embeddings = []
    for name in (name for name in utterance if name != "T"):
        speech, text = (utterance[each] * state[f"averages.{each}.gain"] + state[f"averages.{each}.bias"] for each in (name, "T"))
        for depth in range(len(head.stack(name))):
            speaking, reading = (prefixed(state, f"stacks.{name}.{depth}.{branch}.") for branch in ("speech", "text"))
            speech, text = (
                branch_reference(speaking, speech, text, attention_heads),
                branch_reference(reading, text, speech, attention_heads),
            )
        embeddings.append((speech.mean(0) + text.mean(0)) / 2)
    return np.concatenate(embeddings)


def prefixed(state: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def make_head(
    seed: int, names: str = "FST", *, attention_heads: int = 2, layers: int = 3, dropout: float = 0.2
) -> CoattentionHead:
    """A float64 head with every parameter away from its start."""
    generator = torch.Generator().manual_seed(seed)
    head = CoattentionHead(
        {name: (3, DIM) for name in names},
        classes=4,
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


def random_run(seed: int, utterances: int, names: str = "FST") -> list[Utterance]:
    """Utterances of 1 to 7 units a granularity, the last one of 1 unit everywhere."""
    random = np.random.default_rng(seed)
    return [
        {name: norm(random.standard_normal((int(random.integers(1, 8)) if row else 1, DIM))) for name in names}
        for row in reversed(range(utterances))
    ]


def stacked(runs: Sequence[Sequence[Utterance]]) -> dict[str, StackedUnits]:
    found = {}
    for name in runs[0][0]:
        units = [each[name] for run in runs for each in run]
        found[name] = StackedUnits(
            values=torch.from_numpy(np.concatenate(units)),
            lengths=torch.tensor([len(each) for each in units]),
            sizes=tuple(sum(len(each[name]) for each in run) for run in runs),
            utterances=tuple(len(run) for run in runs),
        )
    return found


@settings(max_examples=15, deadline=None)
@given(
    names=st.sampled_from(["FT", "ST", "FST", "FPSWT"]),
    utterances=st.integers(1, 4),
    attention_heads=st.sampled_from([1, 2, 3, 6]),
    layers=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_logits_equal_equation_four(names: str, utterances: int, attention_heads: int, layers: int, seed: int) -> None:
    head = make_head(seed, names, attention_heads=attention_heads, layers=layers)
    run = random_run(seed, utterances, names)
    found = CoattentionHead.logits([head], stacked([run]), None)
    expected = coattention_reference(head, run, attention_heads)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_gradients_pass_gradcheck() -> None:
    head = make_head(1, "FT", layers=1)
    units = stacked([random_run(1, 2, "FT")])
    used = [parameter for name, parameter in head.named_parameters() if not name.endswith(".weights")]

    def logits(speech: torch.Tensor, text: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        given = {
            name: StackedUnits(
                values=values, lengths=units[name].lengths, sizes=units[name].sizes, utterances=units[name].utterances
            )
            for name, values in (("F", speech), ("T", text))
        }
        return CoattentionHead.logits([head], given, None)

    values = [units[name].values.requires_grad_() for name in "FT"]
    assert torch.autograd.gradcheck(logits, (*values, *used), fast_mode=True)


def test_every_parameter_receives_a_gradient() -> None:
    """The layer weights receive theirs through the units, which are made outside of the head."""
    head = make_head(2)
    units = stacked([random_run(2, 8)])
    for each in units.values():
        each.values.requires_grad_()
    logits = CoattentionHead.logits([head], units, None)
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits, torch.arange(8) % 4))
    for name, gradient in {name: parameter.grad for name, parameter in head.named_parameters()}.items():
        if not name.endswith(".weights"):
            assert gradient is not None, name
            assert float(gradient.abs().max()) > 1e-7, name
    for each in units.values():
        assert each.values.grad is not None
        assert (each.values.grad.abs().sum(1) > 0).all()


def test_neighbours_and_their_order_change_nothing() -> None:
    head = make_head(3)
    run = random_run(3, 6)
    together = CoattentionHead.logits([head], stacked([run]), None)
    alone = [CoattentionHead.logits([head], stacked([[each]]), None) for each in run]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)
    backwards = CoattentionHead.logits([head], stacked([run[::-1]]), None)
    torch.testing.assert_close(backwards.flip(0), together, rtol=1e-12, atol=1e-12)


def test_the_order_in_which_units_are_given_changes_nothing() -> None:
    head = make_head(3)
    units = stacked([random_run(3, 4)])
    expected = CoattentionHead.logits([head], units, None)
    assert torch.equal(CoattentionHead.logits([head], {name: units[name] for name in "TSF"}, None), expected)


@pytest.mark.parametrize("seeded", [True, False])
def test_a_run_among_others_gives_what_it_gives_alone(seeded: bool) -> None:
    """Logits and gradients, with each run's own dropout and without."""
    runs = [random_run(seed, utterances) for seed, utterances in enumerate((3, 1, 4))]

    def results(numbers: Sequence[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        heads = [make_head(number) for number in numbers]
        generators = [torch.Generator().manual_seed(number) for number in numbers] if seeded else None
        logits = CoattentionHead.logits(heads, stacked([runs[number] for number in numbers]), generators)
        torch.autograd.backward((logits**2).sum())
        return logits, [p.grad for head in heads for p in head.parameters() if p.grad is not None]

    logits, gradients = results([0, 1, 2])
    alone = [results([number]) for number in range(3)]
    torch.testing.assert_close(logits, torch.cat([each for each, _ in alone]), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradients, [each for _, several in alone for each in several], rtol=1e-10, atol=1e-10)
    if seeded:
        without = CoattentionHead.logits([make_head(number) for number in range(3)], stacked(runs), None)
        assert (logits - without).abs().amax(1).min() > 1e-3


def test_dropout_follows_the_relu_of_equation_four_before_the_residual_link() -> None:
    """The layers' feed-forward parts are zero, so that only W4's output of 50 is dropped or doubled."""
    head = make_head(4, "FT", dropout=0.5)
    values = {"b4": 50, "w4": 0, "gain": 1, "bias": 0, "b5": 0}
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            if name in values or (name.startswith("stacks.") and name[-2:] in {"w1", "b1", "w2", "b2"}):
                parameter.fill_(values.get(name, 0))
        head.w5.copy_(torch.eye(4, DIM))
    run = random_run(4, 1, "FT") * 60
    found = CoattentionHead.logits([head], stacked([run]), [torch.Generator().manual_seed(0)]).detach().numpy()
    masks = np.stack(np.meshgrid(*[[0.0, 100.0]] * DIM), -1).reshape(-1, DIM)
    possible = norm(masks + embedding_reference(head, run[0], 2))[:, :4]
    distances = np.abs(found[:, None] - possible[None]).max(2)
    assert distances.min(1).max() < 1e-9
    assert len(np.unique(distances.argmin(1))) > 20


@pytest.mark.parametrize("silent", ["speech", "text"])
def test_both_branches_of_the_layers_drop_too(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dropout of eq. 4 is switched off, and one branch has no feed-forward part: what is left is the other's."""
    monkeypatch.setattr("mer.heads.stacked.hidden_layer.grouped_relu_dropout", lambda values, *_: values.relu_())
    head = make_head(5, "FT", layers=1)
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            if f".{silent}." in name and name[-2:] in {"w1", "b1", "w2", "b2"}:
                parameter.zero_()
    units = stacked([random_run(5, 4, "FT")])
    dropped = CoattentionHead.logits([head], units, [torch.Generator().manual_seed(0)])
    assert float((dropped - CoattentionHead.logits([head], units, None)).detach().abs().max()) > 1e-3


def test_every_granularity_and_layer_starts_with_its_own_weights() -> None:
    before = torch.get_rng_state()
    first, second, third = (make_head(seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    own = [first[f"stacks.{name}.{depth}.{branch}.wq"] for name in "FS" for depth in range(3) for branch in ("speech", "text")]
    assert len({float(each[0, 0]) for each in [*own, third["stacks.F.0.text.wq"]]}) == 13


def test_the_published_shapes_are_the_defaults() -> None:
    head = CoattentionHead(
        {"F": (2, 4), "S": (3, 4), "T": (5, 4)},
        classes=3,
        dropout=0.2,
        attention_heads=2,
        generator=torch.Generator().manual_seed(0),
        softmax=True,
    )
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert [len(head.stack(name)) for name in "FS"] == [3, 3]
    assert shapes["stacks.S.2.text.w1"] == (16, 4)
    assert (shapes["w4"], shapes["w5"]) == ((8, 8), (3, 8))
    assert {name: len(shares) for name, shares in head.layer_shares().items()} == {"F": 2, "S": 3, "T": 5}
    assert head.average("T").softmax
    assert float(head.w4.detach().abs().max()) <= 8**-0.5


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"F": (2, 4), "T": (2, 6)}, "units of one dim in speech and text, got F 4, T 6: use late fusion"),
        ({"F": (2, 4), "S": (2, 8), "T": (2, 4)}, "got F 4, S 8, T 4"),
        ({"F": (2, 4), "S": (2, 4)}, r"needs text \(T\) and a speech granularity, got F\+S: use"),
        ({"T": (2, 4)}, r"needs text \(T\) and a speech granularity, got T: use"),
        ({}, "got nothing"),
        ({"F": (2, 3), "T": (2, 3)}, "2 attention heads do not divide units of 3 values: choose one of 1, 3$"),
    ],
)
def test_what_cannot_be_fused_is_refused(shapes: dict[str, tuple[int, int]], message: str) -> None:
    with pytest.raises(HeadError, match=message):
        CoattentionHead(shapes, classes=4, dropout=0.2, attention_heads=2, generator=torch.Generator())
