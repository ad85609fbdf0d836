"""What recognisers of each kind hear, against the classes of `transformers` themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from mer.extract import EncoderError
from mer.recognise import open_transcriber
from mer.tests.extract.small_families import preprocessor, write_speech
from mer.tests.recognise.small_recognisers import write_ctc, write_whisper


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.1, size=int(16_000 * seconds)).astype(np.float32)


def greedy(folder: Path, wave: np.ndarray, start: list[str]) -> str:
    """Symbol by symbol, always the most probable one that may be said, without `generate`."""
    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    spectra = preprocessor("whisper")(wave, sampling_rate=16_000, return_tensors="pt").input_features
    said = [tokenizer.convert_tokens_to_ids(token) for token in start]
    with torch.inference_mode():
        while len(said) < 24 and said[-1] != model.config.eos_token_id:
            said.append(int(model(spectra, decoder_input_ids=torch.tensor([said])).logits[0, -1].argmax()))
    text: str = tokenizer.decode(said, skip_special_tokens=True)
    return " ".join(text.split())


def test_whisper_says_its_most_probable_symbols(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "whisper", languages=False)
    heard = open_transcriber(str(folder))(noise(0.8))
    assert heard == greedy(folder, noise(0.8), ["<|startoftranscript|>", "<|notimestamps|>"])
    assert heard


def test_whisper_of_several_languages_finds_out_which_and_does_not_translate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_whisper(tmp_path / "whisper")
    begun: list[list[int]] = []
    begin = WhisperForConditionalGeneration._retrieve_init_tokens

    def spy(*arguments: Any, **named: Any) -> Any:
        found = begin(*arguments, **named)  # type: ignore[no-untyped-call]
        begun.append(found[0].tolist())
        return found

    monkeypatch.setattr(WhisperForConditionalGeneration, "_retrieve_init_tokens", spy)
    heard = open_transcriber(str(folder))(noise(0.8))
    ((start, language, task, end),) = (WhisperTokenizer.from_pretrained(folder).convert_ids_to_tokens(each) for each in begun)
    assert (start, task, end) == ("<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>")
    assert language in ("<|en|>", "<|de|>")
    assert heard == greedy(folder, noise(0.8), [start, language, task, end])


def test_longer_speech_goes_through_whisper_window_by_window(tmp_path: Path) -> None:
    transcriber = open_transcriber(str(write_whisper(tmp_path / "whisper", languages=False)))
    assert transcriber.window_seconds == 1.0
    whole = transcriber(np.concatenate([noise(1.0), noise(0.6, seed=1)]))
    assert whole == f"{transcriber(noise(1.0))} {transcriber(noise(0.6, seed=1))}"


def test_a_ctc_model_is_heard_greedily_and_whole(tmp_path: Path) -> None:
    transcriber = open_transcriber(str(write_ctc(tmp_path / "small-hubert", "hubert")))
    assert (transcriber.name, transcriber.window_seconds) == ("small-hubert", None)
    assert transcriber(noise(1.0)) == transcriber.model.text(noise(1.0)) != ""


def test_what_is_no_recogniser_is_refused(tmp_path: Path) -> None:
    write_speech("wav2vec2", tmp_path / "encoder")
    write_speech("whisper", tmp_path / "half")
    with pytest.raises(EncoderError, match=r"--transcribe .*encoder: no readable tokenizer"):
        open_transcriber(str(tmp_path / "encoder"))
    with pytest.raises(EncoderError, match=r"--transcribe .*half: no readable tokenizer"):
        open_transcriber(str(tmp_path / "half"))
    with pytest.raises(
        EncoderError, match=r"--transcribe openai/nothing-here: not a folder here, and the Hugging Face hub did not"
    ):
        open_transcriber("openai/nothing-here")


def test_a_whisper_without_its_decoder_is_refused(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "whisper")
    (folder / "model.safetensors").unlink()
    write_speech("whisper", tmp_path / "encoder")
    from safetensors.torch import load_file, save_file

    weights = {name: value for name, value in load_file(tmp_path / "encoder" / "model.safetensors").items() if "encoder." in name}
    save_file({f"model.{name}": value for name, value in weights.items()}, folder / "model.safetensors")
    with pytest.raises(EncoderError, match=r"lacks \d+ weights of a whisper Whisper speech recogniser"):
        open_transcriber(str(folder))
