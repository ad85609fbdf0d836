from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mer.finetune.cross_attention import CrossAttention, FusionModule, MultiHeadAttention
from mer.finetune.errors import FinetuneError
from mer.finetune.sequences import Sequences, real_units

Array = NDArray[np.float64]


def attention_reference(branch: MultiHeadAttention, x: Array, y: Array) -> Array:
    """Vaswani et al. 2017, equation 1 and section 3.2.2, one query and one head at a time. x: (queries, dim)."""
    weight = {name: value.detach().numpy() for name, value in branch.named_parameters()}
    width = x.shape[1] // branch.heads
    result = np.zeros_like(x)
    for position, unit in enumerate(x):
        query = weight["wq"] @ unit + weight["bq"]
        heads = []
        for head in range(branch.heads):
            rows = slice(head * width, (head + 1) * width)
            scores = np.array([query[rows] @ (weight["wk"] @ other)[rows] / np.sqrt(width) for other in y])
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            heads.append(sum(share * (weight["wv"] @ other + weight["bv"])[rows] for share, other in zip(shares, y, strict=True)))
        result[position] = weight["wo"] @ np.concatenate(heads) + weight["bo"]
    return result


def fusion_reference(module: FusionModule, audio: Array, text: Array) -> Array:
    """Sun 2023, section 2.3, for one utterance: both branches of a layer read the layer's inputs."""
    for layer in module.layers:
        assert isinstance(layer, CrossAttention)
        audio, text = (
            audio + attention_reference(layer.audio, audio, text),
            text + attention_reference(layer.text, text, audio),
        )
    return np.concatenate([audio.mean(0), text.mean(0)])


def make_module(seed: int, layers: int, heads: int, audio_dim: int, text_dim: int) -> FusionModule:
    generator = torch.Generator().manual_seed(seed)
    module = FusionModule(audio_dim=audio_dim, text_dim=text_dim, layers=layers, heads=heads, generator=generator).double()
    with torch.no_grad():
        for parameter in module.parameters():  # biases start at zero, where a mistake with them would not show
            parameter.add_(0.3 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    return module


def padded(arrays: Sequence[Array], filler: float, extra: int = 0) -> Sequences:
    longest = max(len(array) for array in arrays) + extra
    states = torch.full((len(arrays), longest, arrays[0].shape[1]), filler, dtype=torch.float64)
    for row, array in enumerate(arrays):
        states[row, : len(array)] = torch.from_numpy(array)
    return Sequences(states=states, real=real_units(tuple(len(array) for array in arrays), longest, torch.device("cpu")))


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=3),
    layers=st.integers(1, 3),
    heads=st.sampled_from([1, 2, 4]),
    widths=st.sampled_from([(4, 4), (8, 4), (4, 12)]),
    seed=st.integers(0, 99),
)
def test_the_fusion_is_the_papers_equations_in_float64(
    lengths: list[tuple[int, int]], layers: int, heads: int, widths: tuple[int, int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    audio = [random.normal(size=(frames, widths[0])) for frames, _ in lengths]
    text = [random.normal(size=(pieces, widths[1])) for _, pieces in lengths]
    module = make_module(seed, layers, heads, *widths)
    found = module(padded(audio, 1e6), padded(text, -1e6)).detach().numpy()
    expected = [fusion_reference(module, *pair) for pair in zip(audio, text, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_a_padded_batch_equals_one_by_one_whatever_is_in_the_padding() -> None:
    random = np.random.default_rng(3)
    audio, text = [random.normal(size=(n, 8)) for n in (5, 1, 9)], [random.normal(size=(n, 8)) for n in (2, 7, 3)]
    module = make_module(3, 2, 4, 8, 8)
    batch = module(padded(audio, 1e6, extra=2), padded(text, -1e6, extra=1))
    for row in range(3):
        alone = module(padded(audio[row : row + 1], 0), padded(text[row : row + 1], 0))
        torch.testing.assert_close(batch[row], alone[0], rtol=1e-12, atol=1e-12)


def test_padding_gets_no_gradient() -> None:
    random = np.random.default_rng(4)
    audio, text = (
        padded([random.normal(size=(n, 8)) for n in (5, 2)], 1.0),
        padded([random.normal(size=(n, 8)) for n in (1, 4)], 1.0),
    )
    for sequences in (audio, text):
        sequences.states.requires_grad_(True)
    make_module(4, 3, 2, 8, 8)(audio, text).square().sum().backward()
    for sequences in (audio, text):
        gradient = sequences.states.grad
        assert gradient is not None
        assert sequences.real is not None
        assert not gradient[~sequences.real].any()
        assert gradient[sequences.real].any(1).all()


def test_equal_lengths_need_no_mask_and_give_the_same() -> None:
    random = np.random.default_rng(5)
    sequences = padded([random.normal(size=(4, 8)) for _ in range(3)], 0)
    assert sequences.real is None
    masked = Sequences(states=sequences.states, real=torch.ones(3, 4, dtype=torch.bool))
    module = make_module(5, 2, 8, 8, 8)
    torch.testing.assert_close(module(sequences, sequences), module(masked, masked), rtol=1e-12, atol=1e-12)


def test_means_leave_even_a_nan_in_the_padding_out() -> None:
    found = padded([np.array([[1.0], [5.0]]), np.array([[7.0]])], np.nan).means()
    assert found.tolist() == [[3.0], [7.0]]


def test_picking_takes_the_mask_along() -> None:
    sequences = padded([np.full((n, 1), float(n)) for n in (1, 2, 3)], 9.0)
    assert sequences.pick(torch.tensor([2, 0, 0])).means().tolist() == [[3.0], [1.0], [1.0]]


def test_initial_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (
        FusionModule(audio_dim=8, text_dim=4, layers=2, heads=2, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        assert torch.equal(value, other.state_dict()[name]) == ("b" in name.rsplit(".", 1)[1])
    weight = first.state_dict()["layers.0.audio.wk"]
    assert weight.shape == (8, 4)
    assert 0.9 * np.sqrt(6 / 12) < float(weight.abs().max()) <= np.sqrt(6 / 12)


def test_heads_that_do_not_divide_a_width_are_refused() -> None:
    with pytest.raises(FinetuneError, match=r"8 attention heads do not divide .* 12 values .* one of 1, 2, 3, 4, 6, 12"):
        FusionModule(audio_dim=16, text_dim=12, layers=1, heads=8, generator=torch.Generator())
