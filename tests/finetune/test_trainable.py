import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from mer.extract import SpeechEncoder, TextEncoder
from mer.finetune.backbones import SpeechBackbone, TextBackbone
from mer.finetune.batch import Batch
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.trainable import TrainableEncoders, load_encoders

NarrowConfig = Callable[..., FinetuneConfig]
MakeBatch = Callable[..., Batch]
KINDS = ("wav2vec2", "wav2vec2-layer-norm", "wavlm", "hubert")


def speech_of(encoders: TrainableEncoders) -> SpeechBackbone:
    assert encoders.speech is not None
    return encoders.speech


def text_of(encoders: TrainableEncoders) -> TextBackbone:
    assert encoders.text is not None
    return encoders.text


def both_means(encoders: TrainableEncoders, batch: Batch) -> Tensor:
    assert batch.waves is not None
    assert batch.tokens is not None
    audio = speech_of(encoders)(batch.waves, batch.samples)
    return torch.cat([audio.means(), text_of(encoders)(batch.tokens, batch.wordpieces).means()], 1)


def modules_of(encoders: TrainableEncoders) -> nn.ModuleList:
    return nn.ModuleList([speech_of(encoders), text_of(encoders)])


def gradients(encoders: TrainableEncoders) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in modules_of(encoders).named_parameters() if p.grad is not None}


def assert_gradients_agree(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    largest = max(float(value.abs().max()) for value in expected.values())
    for name, value in expected.items():
        # some parameters (the biases of keys) have a gradient of zero but for rounding
        difference = float((found[name] - value).abs().max())
        assert difference <= 1e-9 * float(value.abs().max()) + 1e-12 * largest, name


def loss_towards(means: Tensor, rows: tuple[int, ...]) -> Tensor:
    """A loss with a direction of its own for every utterance, summed."""
    towards = torch.stack([torch.sin(torch.arange(means.shape[1], dtype=means.dtype) * (row + 1)) for row in rows])
    return (means.tanh() * towards).sum()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_training_batch_equals_one_by_one_gradients_included(
    kind: str, checkpointing: bool, narrow_config: NarrowConfig, make_batch: MakeBatch
) -> None:
    encoders = load_encoders(narrow_config(kind, calm=True, train_cnn=True, checkpointing=checkpointing))
    modules = modules_of(encoders).double().train()
    batch = make_batch(encoders)
    together = both_means(encoders, batch)
    loss_towards(together, batch.rows).backward()
    found = gradients(encoders)
    modules.zero_grad()
    for row in batch.rows:
        alone = both_means(encoders, make_batch(encoders, only=[row]))
        torch.testing.assert_close(together[row], alone[0], rtol=1e-11, atol=1e-12)
        loss_towards(alone, (row,)).backward()
    assert_gradients_agree(found, gradients(encoders))


@pytest.mark.parametrize("train_cnn", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_trained_parameter_gets_a_gradient_and_no_frozen_one(
    kind: str, train_cnn: bool, narrow_config: NarrowConfig, make_batch: MakeBatch
) -> None:
    encoders = load_encoders(narrow_config(kind, train_cnn=train_cnn))
    modules = modules_of(encoders).train()
    loss_towards(both_means(encoders, batch := make_batch(encoders)), batch.rows).backward()
    trained = {name for name, parameter in modules.named_parameters() if parameter.requires_grad}
    assert set(gradients(encoders)) == trained
    frozen = {name for name, _ in modules.named_parameters()} - trained
    convolutions = {name for name, _ in modules.named_parameters() if name.startswith("0.model.feature_extractor.")}
    unused = {"0.model.masked_spec_embed", "1.model.pooler.dense.weight", "1.model.pooler.dense.bias"}
    assert frozen == unused | (set() if train_cnn else convolutions)


@pytest.mark.parametrize("kind", KINDS)
def test_before_training_the_states_are_transformers_own(kind: str, narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    config = narrow_config(kind)
    encoders = load_encoders(config)
    batch = make_batch(encoders)
    assert batch.waves is not None
    assert batch.tokens is not None
    with torch.no_grad():
        audio = speech_of(encoders)(batch.waves, batch.samples)
        text = text_of(encoders)(batch.tokens, batch.wordpieces)
        theirs, their_text = (AutoModel.from_pretrained(name).eval() for name in (config.speech_model, config.text_model))
        spoken = [theirs(wave[None, :count]) for wave, count in zip(batch.waves, batch.samples, strict=True)]
        written = [their_text(ids[None, :count]) for ids, count in zip(batch.tokens, batch.wordpieces, strict=True)]
    for found, expected in ((audio, spoken), (text, written)):
        assert found.real is not None
        for row, output in enumerate(expected):
            states = output.last_hidden_state[0]
            assert int(found.real[row].sum()) == len(states)
            torch.testing.assert_close(found.states[row, : len(states)], states, rtol=1e-4, atol=1e-5)


def test_recomputation_changes_no_gradient_with_dropout_on(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    found = []
    for checkpointing in (False, True):
        encoders = load_encoders(narrow_config(checkpointing=checkpointing, train_cnn=True))
        modules_of(encoders).train()
        torch.manual_seed(3)
        loss_towards(both_means(encoders, batch := make_batch(encoders)), batch.rows).backward()
        found.append(gradients(encoders))
        recomputed = [module for module in modules_of(encoders).modules() if getattr(module, "gradient_checkpointing", False)]
        assert bool(recomputed) == checkpointing
    assert_gradients_agree(*found)


def test_a_padded_batch_leaves_nothing_behind(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    encoders = load_encoders(narrow_config(calm=True))
    equal = make_batch(encoders, samples=(5_000, 5_000))
    before = both_means(encoders, equal)
    both_means(encoders, make_batch(encoders, samples=(400, 900)))
    assert torch.equal(both_means(encoders, equal), before)


def test_no_layer_is_dropped_and_weight_norm_is_trained(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    encoders = load_encoders(narrow_config())
    speech = speech_of(encoders)
    assert AutoModel.from_pretrained(narrow_config().speech_model).config.layerdrop > 0
    assert speech.model.config.layerdrop == 0
    names = {name for name, parameter in speech.named_parameters() if parameter.requires_grad}
    assert "model.encoder.pos_conv_embed.conv.parametrizations.weight.original0" in names


def masked_rows(encoders: TrainableEncoders, batch: Batch, *, train: bool = True) -> Tensor:
    """Which frames SpecAugment replaces, seen at the encoder's input."""
    speech, seen = speech_of(encoders).train(train), []
    hook = speech.model.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    assert batch.waves is not None
    speech(batch.waves, batch.samples)
    hook.remove()
    replaced: Tensor = (seen[0] == speech.model.masked_spec_embed).all(2)
    return replaced


def test_spec_augment_masks_while_training_only_and_only_when_asked(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    plain, augmented = load_encoders(narrow_config(calm=True)), load_encoders(narrow_config(calm=True, spec_augment=True))
    batch = make_batch(plain, samples=(16_000, 12_000))
    assert not masked_rows(plain, batch).any()
    assert masked_rows(augmented, batch).any()
    # transformers 5.0 draws once a layer even then: what matters is that SpecAugment draws nothing beside it.
    drawn = []
    for encoders in (plain, augmented):
        torch.manual_seed(0)
        assert not masked_rows(encoders, batch, train=False).any()
        drawn.append(torch.get_rng_state())
    assert torch.equal(*drawn)
    assert speech_of(augmented).model.masked_spec_embed.requires_grad
    short = make_batch(plain, samples=(1_000, 900))  # three frames: no room for a span of ten
    assert not masked_rows(augmented, short).any()


def test_spec_augment_draws_from_torchs_generator_and_leaves_numpys(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    encoders = load_encoders(narrow_config(calm=True, spec_augment=True))
    batch = make_batch(encoders, samples=(16_000, 12_000))
    before = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(masked_rows(encoders, batch))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]  # noqa: NPY002


def changed(source: str, place: Path, **values: Any) -> str:
    shutil.copytree(source, place)
    file = place / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return str(place)


def test_spec_augment_without_anything_to_mask_is_refused(narrow_config: NarrowConfig, tmp_path: Path) -> None:
    folder = changed(narrow_config().speech_model, tmp_path / "unmasked", mask_time_prob=0.0, mask_feature_prob=0.0)
    load_encoders(narrow_config(speech_model=folder))
    with pytest.raises(FinetuneError, match=r"unmasked masks nothing \(mask_time_prob and mask_feature_prob are 0\)"):
        load_encoders(narrow_config(speech_model=folder, spec_augment=True))


def test_channels_alone_can_be_masked(narrow_config: NarrowConfig, make_batch: MakeBatch, tmp_path: Path) -> None:
    folder = changed(narrow_config(calm=True).speech_model, tmp_path / "channels", mask_time_prob=0.0, mask_feature_prob=0.3)
    encoders = load_encoders(narrow_config(speech_model=folder, spec_augment=True))
    assert not speech_of(encoders).model.masked_spec_embed.requires_grad
    assert not masked_rows(encoders, make_batch(encoders)).any()


@pytest.mark.parametrize(
    ("setting", "values", "message"),
    [
        (
            "speech_model",
            {"conv_pos_batch_norm": True},
            "--speech-model .*not trainable here, its batch norm .* mixes",
        ),
        (
            "text_model",
            {"quantization_config": {"quant_method": "bitsandbytes"}},
            "--text-model .*not trainable .* quantised",
        ),
        ("text_model", {"is_decoder": True}, "--text-model .*'bert' model is no encoder trained to see both sides"),
        ("speech_model", {"model_type": "whisper"}, "--speech-model .*its encoder takes a WhisperFeatureExtractor"),
    ],
)
def test_an_encoder_that_is_not_trainable_here_is_refused(
    setting: str, values: dict[str, Any], message: str, narrow_config: NarrowConfig, tmp_path: Path
) -> None:
    source = getattr(narrow_config("hubert"), setting)
    folder = changed(source, tmp_path / "unfit", **values)
    with pytest.raises(FinetuneError, match=message):
        load_encoders(narrow_config(**{setting: folder}))


def test_a_missing_encoder_is_an_error_of_fine_tuning(narrow_config: NarrowConfig, tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match=r"--text-model .*holds no loadable encoder"):
        load_encoders(narrow_config(text_model=str(tmp_path)))


def test_an_architecture_that_cannot_recompute_is_refused(narrow_config: NarrowConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(load_encoders(narrow_config()))
    monkeypatch.setattr(type(text.model), "supports_gradient_checkpointing", False)
    with pytest.raises(FinetuneError, match=r"--text-model .*cannot recompute activations; leave --gradient-checkpointing off"):
        TextBackbone(text.checkpoint, text.model, narrow_config(checkpointing=True))


def test_preparation_is_extractions_own(narrow_config: NarrowConfig) -> None:
    config = narrow_config()
    encoders, speech, text = load_encoders(config), SpeechEncoder(config.speech_model), TextEncoder(config.text_model)
    wave = np.random.default_rng(0).normal(0.2, 0.1, 900).astype(np.float32)
    np.testing.assert_array_equal(encoders.prepare(wave), speech.prepare(wave))
    assert encoders.tokenize(["leave me", ""]) == text.tokenize(["leave me", ""])
    assert (encoders.sample_rate, encoders.frame_length, encoders.frame_stride) == (16_000, 400, 320)
    assert encoders.pad_token == text.checkpoint.pad_token == AutoTokenizer.from_pretrained(config.text_model).pad_token_id
    for name, frozen in (("speech", speech), ("text", text)):
        assert encoders.identity[name] == {key: value for key, value in frozen.identity.items() if key != "layers"}


def test_one_modality_loads_one_encoder(narrow_config: NarrowConfig) -> None:
    written, spoken = load_encoders(narrow_config(modality="text")), load_encoders(narrow_config(modality="speech"))
    assert written.speech is None
    assert spoken.text is None
    assert set(written.identity) == {"text"}
    with pytest.raises(FinetuneError, match="modality text reads no audio"):
        written.prepare(np.zeros(400, np.float32))
    with pytest.raises(FinetuneError, match="modality speech reads no text"):
        spoken.tokenize(["noon"])


def test_too_much_text_and_too_little_audio_are_refused(narrow_config: NarrowConfig) -> None:
    encoders = load_encoders(narrow_config())
    with pytest.raises(FinetuneError, match=r"'so so .*has 602 wordpieces, the text encoder takes 512"):
        encoders.tokenize(["so " * 600])
    with pytest.raises(FinetuneError, match="399 samples; the speech encoder needs 400"):
        speech_of(encoders)(torch.zeros(2, 900), (900, 399))


def test_gradients_do_not_reach_the_audio_of_a_frozen_front_end(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    encoders = load_encoders(narrow_config())
    seen: list[Tensor] = []
    speech = speech_of(encoders).train()
    speech.model.feature_extractor.register_forward_hook(lambda module, inputs, output: seen.append(output))
    batch = make_batch(encoders)
    assert batch.waves is not None
    F.softmax(speech(batch.waves, batch.samples).means(), 1)
    assert not seen[0].requires_grad  # so that no activation of the front-end is kept
