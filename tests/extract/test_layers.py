"""What layer 0 to N of an encoder are, whatever the installed transformers hands out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    BertConfig,
    BertModel,
    BertTokenizer,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

from mer.cache import cache_key
from mer.corpus import Corpus
from mer.extract import EncoderError, ExtractConfig, Resources, SpeechEncoder
from mer.extract.hidden_states import text_layers
from mer.extract.identity import make_spec
from mer.extract.workers import load_encoders

CLOSED = ("wav2vec2-layer-norm", "hubert-layer-norm", "wavlm-layer-norm")
"""Small encoders of the shape of wav2vec2-large-lv60, hubert-large and wavlm-large."""
OPEN = ("wav2vec2", "hubert", "wavlm")

GOLDEN_KEY = "b6c76a64fb014070416dd659992983d7465096d79aa705e2e90c6d40b370a0eb"
"""Key of `golden_encoders` before an encoder's last layer was stated (commit 11be5cb, transformers 5.23.0)."""


def wave(encoder: SpeechEncoder, seconds: float = 0.7, seed: int = 3) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return encoder.prepare(random.normal(size=round(16_000 * seconds)).astype(np.float32))


def norm_by_hand(norm: Any, states: Tensor) -> Tensor:
    """LayerNorm, Ba et al. 2016, eq. 4, in float64 numpy."""
    x = states.numpy().astype(np.float64)
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + norm.eps)
    return torch.from_numpy(scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy())


@torch.no_grad()
def layers_by_hand(folder: Path, samples: NDArray[np.float32]) -> list[Tensor]:
    """Layer 0 to N of one utterance, (frames, dim) each, in float64, by the model's parts one after the other."""
    model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    torch.nn.utils.parametrize.remove_parametrizations(model.encoder.pos_conv_embed.conv, "weight")  # in float32, as mer does
    model = model.double()
    features = model.feature_extractor(torch.from_numpy(samples).double()[None]).transpose(1, 2)
    projected = model.feature_projection(features)
    states = projected[0] if isinstance(projected, tuple) else projected
    states = states + model.encoder.pos_conv_embed(states)
    closes = model.config.do_stable_layer_norm
    if not closes:
        states = norm_by_hand(model.encoder.layer_norm, states)
    found, bias = [states], None
    for layer in model.encoder.layers:
        if model.config.model_type == "wavlm":
            states, bias = layer(states, position_bias=bias)[:2]
        else:
            output = layer(states)
            states = output[0] if isinstance(output, tuple) else output
        found.append(states)
    if closes:
        found[-1] = norm_by_hand(model.encoder.layer_norm, states)
    return [each[0] for each in found]


def hand_over(form: str, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a model return its hidden states as another version of transformers does."""
    own, raw = model.forward, []
    model.encoder.layers[-1].register_forward_hook(
        lambda module, inputs, output: raw.append(output[0] if isinstance(output, tuple) else output)
    )

    def forward(*inputs: Any, **options: Any) -> Any:
        output = own(*inputs, **(options | {"output_hidden_states": True}))
        last = raw.pop() if form == "before the norm" else output.last_hidden_state
        output.hidden_states = (*output.hidden_states[:-1], last)
        return output

    monkeypatch.setattr(model, "forward", forward)


@pytest.mark.parametrize("form", ["before the norm", "after the norm"])
@pytest.mark.parametrize("kind", CLOSED)
def test_the_layers_equal_those_made_by_hand_in_both_forms_of_handing_them_over(
    kind: str, form: str, speech_encoder_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = speech_encoder_folder(kind)
    encoder = SpeechEncoder(str(folder), layers=range(13), dtype=torch.float64)
    expected = torch.stack(layers_by_hand(folder, wave(encoder)), dim=1)
    hand_over(form, encoder.model, monkeypatch)
    other = wave(encoder, 1.1, seed=4)
    alone = encoder([wave(encoder)])[0]
    batched = encoder([wave(encoder), other])[0]
    assert alone.shape == expected.shape
    for found in (alone, batched):
        distance = (found - expected).norm(dim=(0, 2)) / expected.norm(dim=(0, 2))
        assert float(distance.max()) < 1e-11
    # What the norm is worth: layer N is another thing with it than without it.
    raw = torch.stack([each for each in layers_by_hand_without_norm(folder, wave(encoder))], dim=1)
    assert float((raw[:, -1] - expected[:, -1]).norm() / expected[:, -1].norm()) > 0.1
    assert torch.equal(raw[:, :-1], expected[:, :-1])


def layers_by_hand_without_norm(folder: Path, samples: NDArray[np.float32]) -> list[Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.norm_by_hand", lambda norm, states: states)
        return layers_by_hand(folder, samples)


@pytest.mark.parametrize("kind", OPEN)
def test_base_encoders_end_in_their_last_layers_own_output(kind: str, speech_encoder_folder: Callable[[str], Path]) -> None:
    folder = speech_encoder_folder(kind)
    encoder = SpeechEncoder(str(folder), layers=range(13), dtype=torch.float64)
    expected = torch.stack(layers_by_hand(folder, wave(encoder)), dim=1)
    torch.testing.assert_close(encoder([wave(encoder)])[0], expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", CLOSED)
def test_only_encoders_that_end_in_a_norm_say_so_and_only_where_their_last_layer_is_kept(
    kind: str, speech_encoder_folder: Callable[[str], Path]
) -> None:
    folder = str(speech_encoder_folder(kind))
    assert SpeechEncoder(folder).identity["last_layer"] == "with the closing norm"
    assert "last_layer" not in SpeechEncoder(folder, layers=range(12)).identity
    assert "last_layer" not in SpeechEncoder(str(speech_encoder_folder("wav2vec2"))).identity


def test_an_adapter_behind_the_encoder_is_no_layer(speech_encoder_folder: Callable[[str], Path], tmp_path: Path) -> None:
    plain = speech_encoder_folder("wav2vec2-layer-norm")
    torch.manual_seed(1)
    model = AutoModel.from_pretrained(plain, add_adapter=True, output_hidden_size=48)
    model.save_pretrained(tmp_path)
    AutoFeatureExtractor.from_pretrained(plain).save_pretrained(tmp_path)
    adapted, encoder = SpeechEncoder(str(tmp_path)), SpeechEncoder(str(plain))
    waves = [wave(encoder), wave(encoder, 1.3)]
    for found, expected in zip(adapted(waves), encoder(waves), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("change", ["one layer more", "a layer twice", "a layer skipped"])
def test_layers_that_cannot_be_told_apart_are_refused(
    change: str, speech_encoder_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(speech_encoder_folder("wav2vec2"))
    if change == "one layer more":
        monkeypatch.setattr("mer.extract.families.wav2vec2.Wav2Vec2.bare", one_layer_more)
        with pytest.raises(EncoderError, match="its config says 12 layers, the installed transformers builds 13"):
            SpeechEncoder(folder)
        return
    encoder = SpeechEncoder(folder)
    layers: Any = encoder.model.get_submodule("encoder.layers")
    layers[5] = layers[6] if change == "a layer twice" else nn.Identity()
    layers[5].__dict__.setdefault("forward", layers[5].forward)
    if change == "a layer skipped":
        # Layers of older transformers give a tuple.
        of_tuple = isinstance(layers[4](torch.zeros(1, 3, encoder.dim)), tuple)
        monkeypatch.setattr(layers[5], "forward", lambda states, **options: (states,) if of_tuple else states)
    with pytest.raises(EncoderError, match=r"expected the layers 0-12 once each in a forward pass, found layer [67] (0|2) times"):
        encoder([wave(encoder)])


def one_layer_more(family: Any, model: Any) -> Any:
    model.encoder.layers.append(nn.Identity())
    return model


class Output:
    def __init__(self, shapes: list[tuple[int, ...]], last: tuple[int, ...] = (1, 4, 8)) -> None:
        self.hidden_states = tuple(torch.full(shape, float(number)) for number, shape in enumerate(shapes))
        self.last_hidden_state = torch.full(last, 9.0)


def test_the_last_layer_of_a_text_encoder_is_its_last_hidden_state() -> None:
    states = text_layers(Output([(1, 4, 8)] * 4), [0, 2, 3], 3, "x")
    assert [float(each[0, 0, 0]) for each in states] == [0.0, 2.0, 9.0]


@pytest.mark.parametrize("count", [3, 5, 0])
def test_another_number_of_hidden_states_than_the_config_says_is_refused(count: int) -> None:
    with pytest.raises(EncoderError, match=rf"expected 4 hidden states .* found {count}; layers of this architecture"):
        text_layers(Output([(1, 4, 8)] * count), [1], 3, "x")


def test_layers_of_other_shapes_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"layer 1 has the shape \(1, 2, 8\), the last one \(1, 4, 8\)"):
        text_layers(Output([(1, 4, 8), (1, 2, 8), (1, 4, 8), (1, 4, 8)]), [2], 3, "x")


def fill(model: nn.Module) -> None:
    """Weights without a random generator."""
    with torch.no_grad():
        for number, (_, parameter) in enumerate(sorted(model.named_parameters())):
            steps = torch.arange(parameter.numel()).reshape(parameter.shape)
            parameter.copy_((steps * 37 + number) % 64 / 256 - 0.125)


def golden_encoders(folder: Path) -> ExtractConfig:
    """Tiny encoders of the base shape, `base` and `bert`."""
    speech = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    text = BertConfig(
        vocab_size=12,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    models = {"base": Wav2Vec2Model(speech), "bert": BertModel(text)}
    for name, model in models.items():
        fill(model)
        model.save_pretrained(folder / name)
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=16_000, do_normalize=True, return_attention_mask=False)
    extractor.save_pretrained(folder / "base")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "##a", "##b", "##c"]
    vocabulary = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=64).save_pretrained(folder / "bert")
    return ExtractConfig(speech_model=str(folder / "base"), text_model=str(folder / "bert"))


def test_the_key_of_base_encoders_is_what_it_always_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A tokenizer's definition as text is the tokenizers library's; it may grow a field.
    monkeypatch.setattr("mer.extract.families.masked_lm.tokenizer_fingerprint", lambda tokenizer: "0" * 64)
    config = golden_encoders(tmp_path)
    spec = make_spec(
        Corpus(name="golden", kind="manifest", synthetic=True, utterances=()),
        config,
        load_encoders(config, Resources(device="cpu")),
    )
    assert cache_key(spec) == GOLDEN_KEY
