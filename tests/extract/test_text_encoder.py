from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, GPT2Config, GPT2Model

from mer.extract import EncoderError, TextEncoder

TEXTS = ["happy", "", "we lost it all, and i will not say it again: leave me alone", "the station at noon"]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_a_padded_batch_equals_one_by_one_in_every_layer(dtype: torch.dtype, tolerance: float, text_encoder_folder: Path) -> None:
    encoder = TextEncoder(str(text_encoder_folder), layers=range(13), dtype=dtype)
    tokens = encoder.tokenize(TEXTS)
    for found, ids in zip(encoder(tokens), tokens, strict=True):
        alone = encoder([ids])[0]
        assert found.shape == (len(ids), 13, encoder.dim)
        distance = (found - alone).double().norm(dim=(0, 2)) / alone.double().norm(dim=(0, 2))
        assert float(distance.max()) < tolerance


def test_one_text_equals_transformers_own_hidden_states_bit_for_bit(text_encoder_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(text_encoder_folder)
    with torch.inference_mode():
        model = AutoModel.from_pretrained(text_encoder_folder, dtype=torch.float32).eval()
        theirs = model(**tokenizer(TEXTS[2], return_tensors="pt"), output_hidden_states=True).hidden_states[1:]
    encoder = TextEncoder(str(text_encoder_folder))
    ours = encoder(encoder.tokenize([TEXTS[2]]))[0]
    assert torch.equal(ours, torch.stack([state[0] for state in theirs], dim=1))


def test_all_wordpieces_are_kept_with_the_special_tokens(text_encoder_folder: Path) -> None:
    encoder = TextEncoder(str(text_encoder_folder))
    tokenizer = AutoTokenizer.from_pretrained(text_encoder_folder)
    first, empty = encoder.tokenize([TEXTS[3], ""])
    assert [first[0], first[-1]] == [tokenizer.cls_token_id, tokenizer.sep_token_id] == empty


def test_a_text_longer_than_the_encoder_is_refused(text_encoder_folder: Path) -> None:
    encoder = TextEncoder(str(text_encoder_folder))
    long = encoder.tokenize(["so " * 600])
    with pytest.raises(ValueError, match=rf"{len(long[0])} wordpieces; the encoder takes {encoder.max_tokens}"):
        encoder(long)


def test_a_speech_encoder_is_refused_as_text_encoder(speech_encoder_folder: Callable[[str], Path]) -> None:
    with pytest.raises(EncoderError, match="a 'wav2vec2' model reads audio, not text"):
        TextEncoder(str(speech_encoder_folder("wav2vec2")))


def test_a_left_to_right_model_is_refused(tmp_path: Path) -> None:
    GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=10)).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="'gpt2' model is no encoder trained to see both sides"):
        TextEncoder(str(tmp_path))


def test_a_folder_without_tokenizer_says_so(text_encoder_folder: Path, tmp_path: Path) -> None:
    AutoModel.from_pretrained(text_encoder_folder).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match=r"no readable tokenizer"):
        TextEncoder(str(tmp_path))
