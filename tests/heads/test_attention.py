import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mer.heads import HeadError
from mer.heads.fusion.attention import (
    FUSED_FROM,
    AttentionLayer,
    after_attention,
    attend_to_few,
    attend_to_many,
    attend_within,
    default_attention_heads,
    self_attention,
)
from mer.heads.stacked.sequence_pairs import pair_sequences

Array = NDArray[np.float64]
CPU = torch.device("cpu")
FORMS = ("few", "many")


@pytest.fixture(autouse=True)
def _utterances_share_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few units would otherwise never be padded."""
    monkeypatch.setattr("mer.heads.stacked.sequence_pairs.PADDING_SHARE", 1.0)


def attention_reference(layer: AttentionLayer, queries: Array, keys: Array, key_bias: Array) -> Array:
    """Zhao 2022, section 2.3, one utterance, query by query and head by head, the bias of the keys included."""
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    dim, heads = queries.shape[1], layer.attention_heads
    width = dim // heads
    out = np.zeros_like(queries)
    for row, u in enumerate(queries):
        q = p["wq"] @ u + p["bq"]
        joined = np.zeros(dim)
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            k = [(p["wk"] @ v + key_bias)[own] for v in keys]
            exponentials = np.exp([q[own] @ each / np.sqrt(width) for each in k])
            for share, v in zip(exponentials / exponentials.sum(), keys, strict=True):
                joined[own] += share * (p["wv"] @ v + p["bv"])[own]
        out[row] = p["wo"] @ joined + p["bo"]
    return out


def norm(x: Array, gain: Array, bias: Array) -> Array:
    normed: Array = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * gain + bias
    return normed


def feed_forward_reference(layer: AttentionLayer, queries: Array, attended: Array) -> Array:
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    x = norm(queries + attended, p["gain1"], p["bias1"])
    hidden = np.maximum(x @ p["w1"].T + p["b1"], 0) @ p["w2"].T + p["b2"]
    return norm(x + hidden, p["gain2"], p["bias2"])


def make_layer(seed: int, *, dim: int = 6, attention_heads: int = 3, dropout: float = 0.2) -> AttentionLayer:
    """A float64 layer with every parameter away from its start."""
    generator = torch.Generator().manual_seed(seed)
    layer = AttentionLayer(
        dim=dim, attention_heads=attention_heads, feed_forward=2 * dim, dropout=dropout, generator=generator
    ).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype) - 0.5)
    return layer


def random_units(random: np.random.Generator, lengths: list[int], dim: int = 6) -> list[Array]:
    return [random.standard_normal((length, dim)) for length in lengths]


def packed(arrays: list[Array]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(arrays))


def attend(
    form: str, layers: list[AttentionLayer], queries: list[list[torch.Tensor]], keys: list[list[torch.Tensor]]
) -> torch.Tensor:
    """One of the forms of attention between two sequences, from the units of each utterance of each run."""
    sides, sizes, units = [], [], []
    for runs in (queries, keys):
        sides.append(torch.tensor([len(each) for run in runs for each in run]))
        sizes.append([sum(len(each) for each in run) for run in runs])
        units.append(torch.cat([each for run in runs for each in run]))
    found = {"few": attend_to_few, "many": attend_to_many}[form]
    first, second = pair_sequences(sides[0], sides[1], CPU)
    return found(layers, units[0], units[1], (first, second), (sizes[0], sizes[1]))


def tensors(arrays: list[Array]) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 5)), min_size=1, max_size=5),
    attention_heads=st.sampled_from([1, 2, 3, 6]),
    seed=st.integers(0, 99),
)
def test_both_forms_equal_the_paper_with_any_bias_of_the_keys(
    lengths: list[tuple[int, int]], attention_heads: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    layer = make_layer(seed, attention_heads=attention_heads)
    queries, keys = (random_units(random, [pair[side] for pair in lengths]) for side in range(2))
    bias = random.standard_normal(6)
    expected = [attention_reference(layer, q, k, bias) for q, k in zip(queries, keys, strict=True)]
    for form in FORMS:
        found = attend(form, [layer], [tensors(queries)], [tensors(keys)])
        np.testing.assert_allclose(found.detach().numpy(), np.concatenate(expected), rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 99), fused_from=st.sampled_from([1, 5, 99])
)
def test_self_attention_equals_the_paper(lengths: list[int], seed: int, fused_from: int) -> None:
    random = np.random.default_rng(seed)
    layer = make_layer(seed)
    units = random_units(random, lengths)
    side, _ = pair_sequences(torch.tensor(lengths), torch.tensor(lengths), CPU)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mer.heads.fusion.attention.FUSED_FROM", fused_from)
        found = self_attention([layer], packed(units), side, [sum(lengths)])
    bias = random.standard_normal(6)
    expected = np.concatenate([attention_reference(layer, each, each, bias) for each in units])
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_what_follows_attention_equals_two_residual_links_normalisations_and_layers() -> None:
    random = np.random.default_rng(0)
    layer = make_layer(0)
    (queries, attended) = random_units(random, [9, 9])
    found = after_attention([layer], torch.from_numpy(queries), torch.from_numpy(attended), None, [9])
    expected = feed_forward_reference(layer, queries, attended)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_two_keys_share_by_the_logistic_of_their_difference() -> None:
    """Unit projections: a query of 1 sees keys 0 and 1, so that the second weighs e / (1 + e)."""
    layer = make_layer(0, dim=1, attention_heads=1)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(float(name.startswith("w")))
    keys = [torch.tensor([[0.0], [1.0]], dtype=torch.float64)]
    for form in FORMS:
        found = attend(form, [layer], [[torch.ones(1, 1, dtype=torch.float64)]], [keys])
        assert found.item() == pytest.approx(math.e / (1 + math.e), rel=1e-14)


@pytest.mark.parametrize("form", [*FORMS, "self", "self fused"])
def test_gradients_of_units_and_parameters_pass_gradcheck(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.heads.fusion.attention.FUSED_FROM", 1 if form == "self fused" else 99)
    random = np.random.default_rng(1)
    layer = make_layer(1, dim=4, attention_heads=2, dropout=0.0)
    queries, keys = (packed(random_units(random, lengths, 4)).requires_grad_() for lengths in ([2, 1, 3], [1, 3, 2]))
    side, _ = pair_sequences(torch.tensor([2, 1, 3]), torch.tensor([2, 1, 3]), CPU)

    def out(queries: torch.Tensor, keys: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        if form.startswith("self"):
            attended = self_attention([layer], queries, side, [6]) + 0 * keys
        else:
            attended = attend(form, [layer], [list(queries.split([2, 1, 3]))], [list(keys.split([1, 3, 2]))])
        return after_attention([layer], queries, attended, None, [6])

    assert torch.autograd.gradcheck(out, (queries, keys, *layer.parameters()))


@pytest.mark.parametrize("form", FORMS)
def test_neighbours_change_nothing_even_when_they_are_not_numbers(form: str) -> None:
    random = np.random.default_rng(2)
    layer = make_layer(2)
    lengths = [(4, 2)] * 30 + [(3, 2), (1, 1)]
    queries, keys = (tensors(random_units(random, [pair[side] for pair in lengths])) for side in range(2))
    alone = [attend(form, [layer], [[q]], [[k]]) for q, k in zip(queries, keys, strict=True)]
    together = attend(form, [layer], [queries], [keys])
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)
    backwards = attend(form, [layer], [queries[::-1]], [keys[::-1]])
    torch.testing.assert_close(backwards, torch.cat(alone[::-1]), rtol=1e-12, atol=1e-12)
    queries[0], keys[1] = torch.full_like(queries[0], torch.nan), torch.full_like(keys[1], torch.inf)
    poisoned = attend(form, [layer], [queries], [keys])
    assert not poisoned[:8].isfinite().any()
    torch.testing.assert_close(poisoned[8:], together[8:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fused_from", [1, 99])
def test_neighbours_in_self_attention_change_nothing_even_when_they_are_not_numbers(
    fused_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.heads.fusion.attention.FUSED_FROM", fused_from)
    lengths = [4, 4, 4, 3]
    layer, units = make_layer(2), tensors(random_units(np.random.default_rng(2), lengths))
    side, _ = pair_sequences(torch.tensor(lengths), torch.tensor(lengths), CPU)
    assert side.shapes == ((4, 4),)
    together = self_attention([layer], torch.cat(units), side, [15])
    poisoned = self_attention([layer], torch.cat([units[0] * torch.nan, *units[1:]]), side, [15])
    assert not poisoned[:4].isfinite().any()
    torch.testing.assert_close(poisoned[4:], together[4:], rtol=1e-12, atol=1e-12)


def test_long_utterances_on_a_cpu_take_the_fused_kernel_and_short_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    fused, taken = torch.nn.functional.scaled_dot_product_attention, list[int]()

    def spy(query: torch.Tensor, *rest: torch.Tensor, **options: object) -> torch.Tensor:
        taken.append(query.shape[2])
        return fused(query, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", spy)
    for longest in (FUSED_FROM - 1, FUSED_FROM):
        attend_within(torch.zeros(1, longest, 18), torch.zeros(1, longest), 3)
    assert taken == [FUSED_FROM]


@pytest.mark.parametrize("form", FORMS)
def test_runs_use_their_own_parameters_and_units(form: str) -> None:
    random = np.random.default_rng(3)
    layers = [make_layer(seed) for seed in range(3)]
    queries = [tensors(random_units(random, lengths)) for lengths in ([3, 1], [2, 5], [4, 4])]
    keys = [tensors(random_units(random, lengths)) for lengths in ([2, 2], [1, 3], [1, 1])]
    stacked = attend(form, layers, queries, keys)
    alone = [attend(form, [layer], [q], [k]) for layer, q, k in zip(layers, queries, keys, strict=True)]
    torch.testing.assert_close(stacked, torch.cat(alone), rtol=1e-12, atol=1e-12)


def test_dropout_follows_both_feed_forward_layers_and_nothing_else() -> None:
    """With W1 = 0, b1 = 1 and W2 = 0.1 the kept inner values are counted, then each output is kept or not."""
    layer = make_layer(4, dim=4, attention_heads=2, dropout=0.5)
    with torch.no_grad():
        for name, value in (("w1", 0), ("b1", 1), ("w2", 0.1), ("b2", 0)):
            getattr(layer, name).fill_(value)
    units = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros_like(units)
    x = torch.nn.functional.layer_norm(units, (4,), layer.gain1, layer.bias1)
    masks = torch.cartesian_prod(*[torch.tensor([0.0, 2.0], dtype=torch.float64)] * 4)
    kept = torch.arange(9, dtype=torch.float64)[:, None, None]  # of the 8 inner values, each doubled
    possible = torch.nn.functional.layer_norm(x[0] + masks * kept * 0.2, (4,), layer.gain2, layer.bias2).view(-1, 4)
    found = torch.cat(
        [after_attention([layer], units, nothing, [torch.Generator().manual_seed(seed)], [2])[:1] for seed in range(300)]
    )
    distances = torch.cdist(found, possible, compute_mode="donot_use_mm_for_euclid_dist")
    assert float(distances.detach().min(1).values.max()) < 1e-12
    assert len(distances.argmin(1).unique()) > 50


def test_weights_start_in_their_ranges_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    layers = [
        AttentionLayer(dim=48, attention_heads=4, feed_forward=96, dropout=0.2, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(before, torch.get_rng_state())
    state = layers[0].state_dict()
    bounds = {name: math.sqrt(6 / 96) for name in ("wq", "wk", "wv", "wo")}
    bounds |= {name: 1 / math.sqrt(48 if name.endswith("1") else 96) for name in ("w1", "b1", "w2", "b2")}
    for name, bound in bounds.items():
        assert 0.9 * bound < float(state[name].abs().max()) <= bound, name
        assert abs(float(state[name].mean())) < bound / 4, name
        assert torch.equal(state[name], layers[1].state_dict()[name])
        assert not torch.equal(state[name], layers[2].state_dict()[name])
    for name in ("bq", "bv", "bo", "bias1", "bias2"):
        assert not state[name].any()
    assert len(torch.unique(torch.stack([state[name].flatten()[0] for name in ("wq", "wk", "wv", "wo")]))) == 4


@pytest.mark.parametrize("attention_heads", [0, 5, 24])
def test_attention_heads_that_do_not_divide_the_units_are_refused_with_those_that_do(attention_heads: int) -> None:
    with pytest.raises(
        HeadError, match=f"{attention_heads} attention heads do not divide units of 12 values: .*1, 2, 3, 4, 6, 12"
    ):
        AttentionLayer(
            dim=12, attention_heads=attention_heads, feed_forward=12, dropout=0.2, generator=torch.Generator().manual_seed(0)
        )


@pytest.mark.parametrize(
    ("dim", "heads"), [(1024, 8), (768, 8), (256, 8), (255, 1), (192, 4), (100, 2), (64, 2), (63, 1), (24, 1)]
)
def test_narrow_encoders_get_fewer_heads_by_default_and_none_that_does_not_divide(dim: int, heads: int) -> None:
    assert default_attention_heads(dim) == heads
