"""Checkpoints that are none of an encoder, and encoders that do not fit: refused at once, with what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCTC, Wav2Vec2FeatureExtractor

from mer.corpus.manifest import read_manifest
from mer.extract import EncoderError, ExtractConfig, Resources, SpeechEncoder, TextEncoder, extract, open_speech, open_text
from mer.extract import memory as planned
from mer.extract.families import open_checkpoint
from mer.extract.unavailable import unavailable
from mer.tests.extract.conftest import MakeManifest

Folder = Callable[[str], Path]
KINDS = ("gpt2", "qwen2", "vit", "clip", "vits", "speecht5", "bark", "t5", "moonshine")
"""Decoders alone, vision, speech synthesis, and encoders with a decoder."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_encoder_is_named_before_its_weights_are_looked_for(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(
        EncoderError, match=rf"a '{kind}' model is no speech encoder that mer can read; .* expected one of .*whisper"
    ):
        open_speech(str(tmp_path))
    with pytest.raises(EncoderError, match=rf"a '{kind}' model (is no encoder|reads audio|has no)"):
        open_text(str(tmp_path))


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2-bert", "wav2vec2"])
def test_a_speech_encoder_is_no_text_encoder(kind: str, family_folder: Folder) -> None:
    with pytest.raises(EncoderError, match=rf"a '{kind}' model (reads audio|is no encoder)"):
        open_text(str(family_folder(kind)))


def test_frames_of_another_preprocessor_are_refused(family_folder: Folder, tmp_path: Path) -> None:
    shutil.copytree(family_folder("wav2vec2-bert"), tmp_path / "mixed")
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "mixed")
    with pytest.raises(EncoderError, match="a Wav2Vec2FeatureExtractor, its encoder takes a SeamlessM4TFeatureExtractor"):
        open_speech(str(tmp_path / "mixed"))
    shutil.copytree(family_folder("wav2vec2"), tmp_path / "other")
    shutil.copy(family_folder("whisper") / "preprocessor_config.json", tmp_path / "other")
    with pytest.raises(EncoderError, match="WhisperFeatureExtractor does not take raw waveforms"):
        open_speech(str(tmp_path / "other"))


@pytest.mark.parametrize("kind", ["wav2vec2", "unispeech-sat", "wav2vec2-bert"])
def test_a_recognisers_encoder_is_the_one_it_was_made_of(kind: str, family_folder: Folder, tmp_path: Path) -> None:
    folder = family_folder(kind)
    values: dict[str, Any] = {"vocab_size": 12, "pad_token_id": 0}
    AutoModelForCTC.from_pretrained(folder, **values).save_pretrained(tmp_path)
    shutil.copy(folder / "preprocessor_config.json", tmp_path)
    assert "ForCTC" in str(AutoConfig.from_pretrained(tmp_path).architectures)
    found, expected = (SpeechEncoder(str(each)).identity for each in (tmp_path, folder))
    assert found["weights_sha256"] == expected["weights_sha256"]


def test_without_network_an_id_is_refused_at_once_and_nothing_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    begun = monotonic()
    with pytest.raises(EncoderError, match=r"hf download some-lab/none --local-dir DIR`; then give `--text-model DIR`"):
        TextEncoder("some-lab/none")
    assert monotonic() - begun < 10
    assert "Retrying" not in "".join(capfd.readouterr())


def test_all_files_are_of_the_commit_that_a_branch_was_when_the_config_was_read(
    family_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, commit = str(family_folder("wav2vec2")), "0123456789" * 4
    config = AutoConfig.from_pretrained(folder)
    config._commit_hash = commit
    monkeypatch.setattr(open_checkpoint, "load_config", lambda *given: config)
    checkpoint = open_speech(folder, "main")
    assert checkpoint.revision == commit
    assert checkpoint.describe(torch.nn.Linear(1, 1))["revision"] == commit


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2"])
def test_weights_that_do_not_fit_are_refused_before_they_are_read(
    kind: str, family_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = open_speech(str(family_folder(kind)))
    assert planned.weight_bytes(checkpoint) == sum(each.numel() * 4 for each in checkpoint.load().parameters())
    monkeypatch.setattr(planned, "free_bytes", lambda device: 1_000)
    SpeechEncoder(str(family_folder(kind)))  # too small to be looked at
    monkeypatch.setattr(planned, "SMALL", 0)
    monkeypatch.setattr(type(checkpoint), "load", lambda self: pytest.fail("its weights were read"))
    monkeypatch.setattr(type(checkpoint), "loads_itself", False)
    with pytest.raises(
        EncoderError, match=r"weights take 0\.0 GB in float32, and this machine has 0\.0 GB free; an encoder of up"
    ):
        SpeechEncoder(str(family_folder(kind)))


def test_activations_beyond_float16_are_said_with_the_first_shard(
    make_manifest: MakeManifest, family_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = SpeechEncoder.__call__
    monkeypatch.setattr(SpeechEncoder, "__call__", lambda self, waves: [1e6 * each for each in own(self, waves)])
    config = ExtractConfig(speech_model=str(family_folder("wav2vec2")), granularities=("W",))
    said: list[str] = []
    corpus = read_manifest(make_manifest(3))
    extract(corpus, config, tmp_path / "cache", resources=Resources(device="cpu", workers=1), on_notice=said.append)
    (hint,) = said
    assert "1 of the first 1 utterances fail, utt00" in hint
    assert "--storage float32 keeps them" in hint


@pytest.mark.parametrize(("problem", "closed"), [("401 Client Error.", True), ("Cannot access gated repo", True), ("404", False)])
def test_a_gated_encoder_asks_for_a_token(problem: str, closed: bool) -> None:
    said = unavailable("some-lab/gated", None, "--speech-model", OSError(problem))
    assert ("your token in HF_TOKEN" in said) == closed
    assert "`hf download some-lab/gated --local-dir DIR`" in said
