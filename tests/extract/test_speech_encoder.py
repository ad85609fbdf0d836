from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoFeatureExtractor, AutoModel, Data2VecAudioConfig, Data2VecAudioModel

from mer.extract import EncoderError, ExtractError, SpeechEncoder

KINDS = ("wav2vec2", "wav2vec2-layer-norm", "wavlm", "wavlm-layer-norm", "hubert", "hubert-layer-norm", "data2vec-audio")
SECONDS = (0.03, 0.61, 2.4, 1.37, 0.2)


@pytest.fixture(scope="session")
def folder_of(speech_encoder_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def folder(kind: str) -> Path:
        if kind != "data2vec-audio":
            return speech_encoder_folder(kind)
        made = tmp_path_factory.getbasetemp() / "small-data2vec"
        if not made.exists():
            torch.manual_seed(0)
            config = Data2VecAudioConfig(
                hidden_size=32,
                num_hidden_layers=4,
                num_attention_heads=4,
                intermediate_size=48,
                conv_dim=(16,) * 7,
                num_conv_pos_embeddings=3,
                conv_pos_kernel_size=7,
                num_conv_pos_embedding_groups=4,
            )
            Data2VecAudioModel(config).save_pretrained(made)
            AutoFeatureExtractor.from_pretrained(speech_encoder_folder("wav2vec2-layer-norm")).save_pretrained(made)
        return made

    return folder


def waves(seconds: tuple[float, ...] = SECONDS) -> list[NDArray[np.float32]]:
    """Pulses at a random pitch in noise, each with its own loudness and offset."""
    random = np.random.default_rng(5)
    made = []
    for length in seconds:
        time = np.arange(round(length * 16_000)) / 16_000
        pitch = random.uniform(90, 300)
        tone = np.sin(2 * np.pi * pitch * time) ** 9 + 0.1 * random.normal(size=len(time))
        made.append((random.uniform(0.01, 0.9) * tone + random.uniform(-0.1, 0.1)).astype(np.float32))
    return made


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest relative L2 distance over the layers. Both (frames, layers, dim)."""
    difference = (found.double() - expected.double()).norm(dim=(0, 2))
    return float((difference / expected.double().norm(dim=(0, 2))).max())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_batch_equals_one_by_one_in_every_layer(
    kind: str, dtype: torch.dtype, tolerance: float, folder_of: Callable[[str], Path]
) -> None:
    encoder = SpeechEncoder(str(folder_of(kind)), dtype=dtype)
    every = SpeechEncoder(str(folder_of(kind)), dtype=dtype, layers=range(encoder.layers[-1] + 1))
    prepared = [every.prepare(wave) for wave in waves()]
    alone = [every([wave])[0] for wave in prepared]
    batched = every(prepared)
    for found, expected in zip(batched, alone, strict=True):
        assert found.dtype == dtype
        assert found.shape == expected.shape
        assert relative(found, expected) < tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_one_utterance_equals_transformers_own_hidden_states_bit_for_bit(kind: str, folder_of: Callable[[str], Path]) -> None:
    folder = str(folder_of(kind))
    encoder, wave = SpeechEncoder(folder), waves()[2]
    inputs = AutoFeatureExtractor.from_pretrained(folder)(wave, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        theirs = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()(inputs, output_hidden_states=True)
    ours = encoder([encoder.prepare(wave)])[0]
    expected = torch.stack([state[0] for state in (*theirs.hidden_states[1:-1], theirs.last_hidden_state)], dim=1)
    assert torch.equal(ours, expected)


def test_what_is_in_the_padding_does_not_matter_to_the_batch(folder_of: Callable[[str], Path]) -> None:
    encoder = SpeechEncoder(str(folder_of("wav2vec2")), dtype=torch.float64)
    short, middle, long = (encoder.prepare(wave) for wave in waves((0.4, 0.9, 3.0)))
    with_middle, with_long = encoder([short, middle])[0], encoder([short, long])[0]
    assert relative(with_middle, with_long) < 1e-12


def test_preparing_is_the_feature_extractors_own_normalisation(folder_of: Callable[[str], Path]) -> None:
    folder = str(folder_of("wav2vec2"))
    wave = waves()[1]
    theirs = AutoFeatureExtractor.from_pretrained(folder)(wave, sampling_rate=16_000, return_tensors="np")
    np.testing.assert_array_equal(SpeechEncoder(folder).prepare(wave), theirs.input_values[0])


@pytest.mark.parametrize("samples", [400, 401, 719, 720, 721, 16_000, 33_333])
def test_frames_are_counted_as_the_encoder_makes_them(samples: int, folder_of: Callable[[str], Path]) -> None:
    encoder = SpeechEncoder(str(folder_of("wav2vec2")), layers=[1])
    assert encoder.frame_length == 400
    assert encoder.frame_stride == 320
    assert encoder.frame_count(samples) == (samples - 400) // 320 + 1
    assert len(encoder([np.ones(samples, np.float32)])[0]) == encoder.frame_count(samples)


def test_too_short_a_waveform_is_refused_before_it_can_hide_in_a_batch(
    folder_of: Callable[[str], Path],
) -> None:
    encoder = SpeechEncoder(str(folder_of("wav2vec2")))
    with pytest.raises(ValueError, match="399 samples; one frame needs 400"):
        encoder([np.ones(399, np.float32), np.ones(900, np.float32)])


def test_layers_are_chosen_and_the_identity_says_which(folder_of: Callable[[str], Path]) -> None:
    folder = str(folder_of("wav2vec2"))
    some, every = SpeechEncoder(folder, layers=[0, 3]), SpeechEncoder(folder, layers=range(13))
    wave = some.prepare(waves()[1])
    assert torch.equal(some([wave])[0], every([wave])[0][:, [0, 3]])
    assert some.identity["layers"] == [0, 3]
    assert some.identity["weights_sha256"] == every.identity["weights_sha256"]
    with pytest.raises(ExtractError, match=r"layer 24, but --speech-model .* has layers 1-12"):
        SpeechEncoder(folder, layers=[24])


def test_other_weights_are_another_identity(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(folder_of("wav2vec2"))
    with torch.no_grad():
        model.encoder.layers[5].attention.k_proj.bias[3] += 1e-6
    model.save_pretrained(tmp_path)
    AutoFeatureExtractor.from_pretrained(folder_of("wav2vec2")).save_pretrained(tmp_path)
    other, original = SpeechEncoder(str(tmp_path)), SpeechEncoder(str(folder_of("wav2vec2")))
    assert other.identity["weights_sha256"] != original.identity["weights_sha256"]


def test_a_text_encoder_is_refused_as_speech_encoder(text_encoder_folder: Path) -> None:
    with pytest.raises(EncoderError, match=r"a 'bert' model is no speech encoder .* wav2vec2, hubert, wavlm"):
        SpeechEncoder(str(text_encoder_folder))


def test_a_checkpoint_without_all_weights_is_refused(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(folder_of("wav2vec2"))
    weights = {k: v for k, v in model.state_dict().items() if "layers.7." not in k}
    model.save_pretrained(tmp_path, state_dict=weights)
    AutoFeatureExtractor.from_pretrained(folder_of("wav2vec2")).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match=r"lacks 16 weights .*'encoder.layers.7.attention"):
        SpeechEncoder(str(tmp_path))


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no loadable encoder \(found nothing; expected config.json"):
        SpeechEncoder(str(tmp_path))


def test_a_folder_without_preprocessor_says_so(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    AutoModel.from_pretrained(folder_of("wav2vec2")).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match=r"no readable preprocessor_config\.json"):
        SpeechEncoder(str(tmp_path))


def test_a_hub_id_without_network_says_how_to_use_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError, match=r"some-lab/no-such-model: not a folder here.*--speech-model DIR"):
        SpeechEncoder("some-lab/no-such-model")


def test_gradients_pass_through_the_exact_norm(folder_of: Callable[[str], Path]) -> None:
    encoder = SpeechEncoder(str(folder_of("wav2vec2")), dtype=torch.float64)
    norm = encoder.model.feature_extractor.conv_layers[0].layer_norm
    states = torch.randn(2, norm.norm.num_channels, 40, dtype=torch.float64, requires_grad=True)
    norm.samples = [10 + 5 * 39, 10 + 5 * 11]
    try:
        norm(states).square().sum().backward()
    finally:
        norm.samples = None
    assert states.grad is not None
    assert bool((states.grad[1, :, 12:] == 0).all())
    assert bool((states.grad[1, :, :12] != 0).any())


def break_group_norm(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.extract.exact_padding.PerUtteranceGroupNorm.forward", lambda self, x: self.norm(x))


def break_zeros_before_positional_convolution(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        padding = (inputs[0] == 0).all(dim=2, keepdim=True)
        return (inputs[0] + padding,)

    encoder.model.get_submodule("encoder.pos_conv_embed").register_forward_pre_hook(fill)


def break_attention_mask(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    module = encoder.model.__class__.__module__
    monkeypatch.setattr(f"{module}.create_bidirectional_mask", lambda **kwargs: None)


def break_zeros_between_positional_convolutions(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in encoder.model.get_submodule("encoder.pos_conv_embed.layers").children():
        block._forward_hooks.clear()


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("wav2vec2", break_group_norm),
        ("wav2vec2", break_zeros_before_positional_convolution),
        ("wav2vec2", break_attention_mask),
        ("hubert", break_group_norm),
        ("wav2vec2-layer-norm", break_attention_mask),
        ("data2vec-audio", break_zeros_between_positional_convolutions),
        ("data2vec-audio", break_zeros_before_positional_convolution),
    ],
)
def test_without_any_one_of_the_masks_a_batch_is_wrong(
    kind: str,
    broken: Callable[[SpeechEncoder, pytest.MonkeyPatch], None],
    folder_of: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = SpeechEncoder(str(folder_of(kind)), dtype=torch.float64)
    prepared = [encoder.prepare(wave) for wave in waves()]
    alone = [encoder([wave])[0] for wave in prepared]
    broken(encoder, monkeypatch)
    batched = encoder(prepared)
    assert max(relative(found, expected) for found, expected in zip(batched, alone, strict=True)) > 1e-6
