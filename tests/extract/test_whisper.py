"""Whisper's encoder: windows of 30 s (here of 1), whatever holds it, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
    WhisperForCausalLM,
    WhisperForConditionalGeneration,
    WhisperModel,
)

from mer.corpus.audio import AudioError
from mer.corpus.manifest import read_manifest
from mer.extract import EncoderError, ExtractConfig, Resources, SpeechEncoder, extract, open_speech
from mer.extract.feature_size import feature_size
from mer.extract.workers import load_encoders
from mer.finetune.backbones import SpeechBackbone
from mer.finetune.config import FinetuneConfig
from mer.tests.extract.conftest import Make, MakeManifest
from mer.tests.extract.small_families import random_model

Folder = Callable[[str], Path]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


@pytest.mark.parametrize("samples", [16_000, 16_001, 40_000, 48_000])
def test_longer_audio_is_its_windows_one_after_the_other(samples: int, encoder_of: Make) -> None:
    encoder, wave = encoder_of("whisper"), noise(samples)
    found = encoder([wave, noise(700)])[0]
    # The last window has less than one spectrum of 400 samples of its own: its padding to 1 s is what padding would do.
    pieces = [wave[start : start + 16_000] for start in range(0, samples, 16_000)]
    frames = [-(-len(piece) // 320) for piece in pieces]
    alone = [encoder([np.pad(piece, (0, 16_000 - len(piece)))])[0][:count] for piece, count in zip(pieces, frames, strict=True)]
    assert len(found) == encoder.frame_count(samples) == -(-samples // 320)
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-10, atol=1e-12)


def test_what_batches_cost_is_measured_in_windows(encoder_of: Make, family_folder: Folder) -> None:
    family = encoder_of("whisper").checkpoint
    assert [family.padded(count) for count in (400, 16_000, 16_001)] == [16_000, 16_000, 32_000]
    assert [family.padded_seconds(each) for each in (0.2, 1.0, 1.1)] == [1.0, 1.0, 2.0]
    assert encoder_of("wav2vec2").checkpoint.padded_seconds(0.1234567) == 0.1234567
    config = ExtractConfig(speech_model=str(family_folder("whisper")), granularities=("F",))
    size = feature_size(config, load_encoders(config, Resources(device="cpu")))
    assert size(1.01) == -(-16_160 // 320) * 3 * 32 * 2


def test_longer_audio_is_refused_where_that_is_asked_for(
    make_manifest: MakeManifest, family_folder: Folder, tmp_path: Path
) -> None:
    folder = str(family_folder("whisper"))
    encoder = SpeechEncoder(folder, long="refuse")
    assert (encoder.identity["long"], SpeechEncoder(folder).identity["long"]) == ("refuse", "windows")
    assert len(encoder.prepare(noise(16_000))) == 16_000
    with pytest.raises(AudioError, match=r"1\.5 s of audio, and .* takes 1 s at once; .*`--long windows` for 2 windows"):
        encoder.prepare(noise(24_000))
    config = ExtractConfig(speech_model=folder, granularities=("W",), long="refuse")
    result = extract(read_manifest(make_manifest(4)), config, tmp_path / "cache", resources=Resources(device="cpu", workers=1))
    assert result.failed
    assert result.utterances + len(result.failed) == 4
    assert all("takes 1 s at once" in each.reason for each in result.failed)


@pytest.mark.parametrize("form", ["generation", "classification", "encoder alone", "bin"])
def test_the_encoder_is_found_in_whatever_holds_it(form: str, family_folder: Folder, tmp_path: Path) -> None:
    folder = family_folder("whisper")
    whole = WhisperModel.from_pretrained(folder)
    WhisperFeatureExtractor.from_pretrained(folder).save_pretrained(tmp_path)
    if form == "encoder alone":
        checkpoint = open_speech(str(folder))
        checkpoint.save(tmp_path, checkpoint.load(), weights=True)
    elif form == "bin":
        whole.config.save_pretrained(tmp_path)
        torch.save(whole.state_dict(), tmp_path / "pytorch_model.bin")
    else:
        kind: Any = {"generation": WhisperForConditionalGeneration, "classification": WhisperForAudioClassification}[form]
        model = kind(AutoConfig.from_pretrained(folder))
        (model.model.encoder if form == "generation" else model.encoder).load_state_dict(whole.encoder.state_dict())
        model.save_pretrained(tmp_path)
    found, expected = SpeechEncoder(str(tmp_path)), SpeechEncoder(str(folder))
    assert found.identity["weights_sha256"] == expected.identity["weights_sha256"]
    assert torch.equal(found([noise(9_000)])[0], expected([noise(9_000)])[0])


def test_a_decoder_alone_is_refused(family_folder: Folder, tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(family_folder("whisper"))
    random_model(WhisperForCausalLM, config).save_pretrained(tmp_path)
    WhisperFeatureExtractor.from_pretrained(family_folder("whisper")).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match=r"lacks \d+ weights of a whisper encoder"):
        SpeechEncoder(str(tmp_path))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Wav2Vec2FeatureExtractor(), "that of a Wav2Vec2FeatureExtractor, its encoder takes a WhisperFeatureExtractor"),
        (
            WhisperFeatureExtractor(feature_size=80, chunk_length=1),
            "makes 100 spectra of 80 mel bands, its encoder takes 100 of 16",
        ),
        (WhisperFeatureExtractor(feature_size=16), "makes 3000 spectra of 16 mel bands"),
        (
            WhisperFeatureExtractor(feature_size=16, chunk_length=1, dither=1e-4),
            "dither = 0.0001, which adds noise drawn at random",
        ),
    ],
)
def test_a_preprocessor_that_is_not_its_own_is_refused(other: Any, said: str, family_folder: Folder, tmp_path: Path) -> None:
    shutil.copytree(family_folder("whisper"), tmp_path / "mixed")
    other.save_pretrained(tmp_path / "mixed")
    with pytest.raises(EncoderError, match=said):
        open_speech(str(tmp_path / "mixed"))


def test_the_filters_in_old_preprocessor_files_are_not_taken(family_folder: Folder, tmp_path: Path) -> None:
    shutil.copytree(family_folder("whisper"), tmp_path / "old")
    file = tmp_path / "old" / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"mel_filters": [[0.0] * 201] * 16}))
    found, expected = SpeechEncoder(str(tmp_path / "old")), SpeechEncoder(str(family_folder("whisper")))
    assert torch.equal(found([noise(9_000)])[0], expected([noise(9_000)])[0])


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2-bert"])
@pytest.mark.parametrize("front_end", [False, True])
def test_it_is_trained_with_and_without_its_convolutions(
    kind: str, front_end: bool, family_folder: Folder, encoder_of: Make
) -> None:
    checkpoint = open_speech(str(family_folder(kind)))
    backbone = SpeechBackbone(checkpoint, checkpoint.load(), FinetuneConfig(train_cnn=front_end))
    waves = [noise(9_000), noise(14_000, 1)]
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(each) for each in waves], batch_first=True)
    out = backbone(padded, [9_000, 14_000])
    expected = encoder_of(kind, torch.float32)(waves)
    for row, each in enumerate(expected):
        assert int(out.real[row].sum()) == len(each)
        torch.testing.assert_close(out.states[row, : len(each)], each[:, -1], rtol=1e-4, atol=1e-5)
    out.states.square().sum().backward()
    trained = {name for name, each in backbone.model.named_parameters() if each.requires_grad}
    assert all(each.grad is not None for name, each in backbone.model.named_parameters() if name in trained)
    if kind == "whisper":
        assert ("conv1.weight" in trained) is front_end
        assert "embed_positions.weight" not in trained
