"""CTC recognisers of every family: probabilities as the model's own, frames where they lie, letters, refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC

from mer.extract import EncoderError
from mer.recognise.checkpoint import identity
from mer.recognise.ctc_model import CtcCheckpoint, CtcModel
from mer.tests.extract.small_families import preprocessor, write_speech
from mer.tests.recognise.small_recognisers import LETTERS, SPECIAL, write_ctc

KINDS = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech-large", "sew", "wav2vec2-bert")
ADAPTER: dict[str, Any] = {"add_adapter": True, "num_adapter_layers": 2, "adapter_stride": 2, "adapter_kernel_size": 3}


def noise(samples: int = 16_000) -> np.ndarray:
    return np.random.default_rng(5).normal(scale=0.1, size=samples).astype(np.float32)


def opened(folder: Path) -> CtcModel:
    return CtcModel(CtcCheckpoint(str(folder), None, "--ctc-model"))


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_those_of_the_class_itself(kind: str, tmp_path: Path) -> None:
    folder = write_ctc(tmp_path / kind, kind)
    found = opened(folder).log_probs(noise())
    model = AutoModelForCTC.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**preprocessor(kind)(noise(), sampling_rate=16_000, return_tensors="pt")).logits[0].double().numpy()
    expected = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 0.01


@pytest.mark.parametrize("kind", ["wav2vec2", "wav2vec2-bert"])
def test_frames_behind_an_adapter_are_where_its_convolutions_look(kind: str, tmp_path: Path) -> None:
    """A sound at one place changes the nearest frame of the convolutions most, by their own geometry."""
    plain = CtcCheckpoint(str(write_ctc(tmp_path / "plain", kind)), None, "--ctc-model").times
    fewer = opened(write_ctc(tmp_path / "adapter", kind, **ADAPTER))
    times = fewer.checkpoint.times
    assert (times.first, times.stride) == (plain.first, 4 * plain.stride)
    frames, all_frames = len(fewer.log_probs(noise())), fewer.checkpoint.speech.frame_count(16_000)
    assert frames == pytest.approx(all_frames / 4, abs=1)


def test_the_first_frame_of_wav2vec2_is_centred_on_sample_200(tmp_path: Path) -> None:
    times = CtcCheckpoint(str(write_ctc(tmp_path / "it")), None, "--ctc-model").times
    assert [times.edge_ms(frame) for frame in (0, 1, 2)] == [2, 22, 42]


def test_speech_that_is_shorter_than_a_frame_has_no_frames(tmp_path: Path) -> None:
    model = opened(write_ctc(tmp_path / "it"))
    assert model.log_probs(noise(300)).shape == (0, len(SPECIAL) + len(LETTERS))
    assert model.text(noise(300)) == ""


def test_text_is_the_greedy_path_by_the_checkpoints_own_tokenizer(tmp_path: Path) -> None:
    model = opened(write_ctc(tmp_path / "it"))
    best = model.log_probs(noise()).argmax(1)
    symbols = [*SPECIAL, *LETTERS]
    kept = [symbol for place, symbol in enumerate(best) if not place or symbol != best[place - 1]]
    expected = "".join(" " if symbols[each] == "|" else symbols[each] for each in kept if symbols[each] not in SPECIAL[:4])
    assert model.text(noise()) == " ".join(expected.split())


def test_the_letters_are_those_of_the_vocabulary(tmp_path: Path) -> None:
    found = CtcCheckpoint(str(write_ctc(tmp_path / "it", letters="abcдж")), None, "--ctc-model").vocabulary()
    assert found.symbols == {"a": 5, "b": 6, "c": 7, "д": 8, "ж": 9}
    assert (found.blank, found.delimiter) == (0, 4)


def test_what_a_folder_lacks_is_said(tmp_path: Path) -> None:
    write_speech("wav2vec2", tmp_path / "encoder")
    cases = {
        "encoder": "no readable tokenizer",
        "nowhere": "not a folder here, and the Hugging Face hub did not give it",
        "headless": r"lacks 2 weights of a wav2vec2 CTC speech recogniser, first 'lm_head.bias'; they would be random",
        "blank": "pad_token_id = 3, its tokenizer 0",
        "pieces": "27 of its 30 symbols are of several letters",
        "whisper": "a 'whisper' model is no CTC speech recogniser",
    }
    write_headless(tmp_path / "headless")
    write_ctc(tmp_path / "blank", pad_token_id=3)
    write_pieces(tmp_path / "pieces")
    write_speech("whisper", tmp_path / "whisper")
    for name, message in cases.items():
        with pytest.raises(EncoderError, match=message) as refused:
            opened(tmp_path / name).checkpoint.vocabulary()
        assert str(refused.value).startswith(f"--ctc-model {tmp_path / name}")


def write_headless(folder: Path) -> None:
    """An encoder with a tokenizer beside it, as the pretrained wav2vec 2.0 is published."""
    write_ctc(folder)
    (folder / "model.safetensors").unlink()
    write_speech("wav2vec2", folder.parent / "bare")
    (folder.parent / "bare" / "model.safetensors").rename(folder / "model.safetensors")


def write_pieces(folder: Path) -> None:
    """A vocabulary of pieces of words."""
    write_ctc(folder, letters=LETTERS + "xyz"[:0] + "ABC")
    found = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({t if t in SPECIAL or t in "ABC" else f"{t}{t}": n for t, n in found.items()}))


def test_another_file_is_another_identity(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path / "it")
    before = identity(CtcCheckpoint(str(folder), None, "--ctc-model").speech)
    (folder / "README.md").write_text("says nothing")
    assert identity(CtcCheckpoint(str(folder), None, "--ctc-model").speech) == before
    (folder / "vocab.json").write_text((folder / "vocab.json").read_text() + " ")
    assert identity(CtcCheckpoint(str(folder), None, "--ctc-model").speech) != before
