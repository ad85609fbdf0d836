"""What a library, a version or a config leaves open is stated by mer: each thing of docs/encoders.md that can be."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, BertConfig, ConvBertConfig, RobertaConfig, Wav2Vec2Config, Wav2Vec2FeatureExtractor

from mer.corpus.audio import RESAMPLER, read_wave
from mer.extract import SpeechEncoder, TextEncoder
from mer.extract.pretrained import attention_of

TEXT = "we lost it all, and i will not say it again"


def edited(source: Path, folder: Path, file: str, **values: Any) -> Path:
    """A copy with other values in one of its JSON files; None removes one."""
    shutil.copytree(source, folder)
    document = json.loads((folder / file).read_text()) | values
    (folder / file).write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
    return folder


@pytest.mark.parametrize(
    "asked",
    [
        {"return_dict": False},
        {"output_hidden_states": True, "output_attentions": True},
        {"attn_implementation": "eager"},
        {"dtype": "float16"},
    ],
)
def test_what_a_config_asks_for_beside_its_shape_changes_no_number(
    asked: dict[str, Any], text_encoder_folder: Path, speech_encoder_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    plain, other = (
        TextEncoder(str(folder))
        for folder in (text_encoder_folder, edited(text_encoder_folder, tmp_path / "t", "config.json", **asked))
    )
    tokens = plain.tokenize([TEXT])
    assert torch.equal(plain(tokens)[0], other(tokens)[0])
    source = speech_encoder_folder("wavlm-layer-norm")
    spoken = [SpeechEncoder(str(folder)) for folder in (source, edited(source, tmp_path / "s", "config.json", **asked))]
    wave = np.random.default_rng(0).normal(size=9000).astype(np.float32)
    assert torch.equal(spoken[0]([wave])[0], spoken[1]([wave])[0])


def test_attention_is_sdpa_where_the_architecture_has_it() -> None:
    assert [attention_of(config()) for config in (BertConfig, RobertaConfig, Wav2Vec2Config)] == ["sdpa"] * 3
    assert attention_of(ConvBertConfig()) == "eager"


def test_an_unstated_rate_or_normalisation_is_ours_and_not_the_installed_class(
    speech_encoder_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = speech_encoder_folder("wav2vec2")
    silent = edited(source, tmp_path / "silent", "preprocessor_config.json", do_normalize=None, sampling_rate=None)
    own: Any = Wav2Vec2FeatureExtractor.__init__

    def other_defaults(self: Any, **stated: Any) -> None:
        own(self, **({"do_normalize": False, "sampling_rate": 8000} | stated))

    monkeypatch.setattr(Wav2Vec2FeatureExtractor, "__init__", other_defaults)
    encoder = SpeechEncoder(str(silent), layers=[1])
    assert (encoder.sample_rate, encoder.checkpoint.normalize) == (16_000, True)
    assert encoder.identity == SpeechEncoder(str(source), layers=[1]).identity | {"model": "silent"}
    stated = edited(source, tmp_path / "stated", "preprocessor_config.json", do_normalize=False)
    assert not SpeechEncoder(str(stated), layers=[1]).checkpoint.normalize


def test_a_tokenizer_neither_cuts_nor_pads_nor_leaves_special_tokens_out(text_encoder_folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(text_encoder_folder)
    folder = tmp_path / "cuts"
    shutil.copytree(text_encoder_folder, folder)
    definition = json.loads((folder / "tokenizer.json").read_text())
    definition["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    definition["padding"] = {
        "strategy": {"Fixed": 40},
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    (folder / "tokenizer.json").write_text(json.dumps(definition))
    plain, other = TextEncoder(str(text_encoder_folder)), TextEncoder(str(folder))
    found = other.tokenize([TEXT])[0]
    assert found == plain.tokenize([TEXT])[0]
    assert len(found) > 5
    assert [found[0], found[-1]] == [tokenizer.cls_token_id, tokenizer.sep_token_id]


def test_types_and_positions_that_are_not_given_are_zero_and_counted_from_the_start(text_encoder_folder: Path) -> None:
    encoder = TextEncoder(str(text_encoder_folder), dtype=torch.float64)
    ids = torch.tensor(encoder.tokenize([TEXT]))
    with torch.inference_mode():
        stated = encoder.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            token_type_ids=torch.zeros_like(ids),
            position_ids=torch.arange(ids.shape[1])[None],
        ).last_hidden_state[0]
    torch.testing.assert_close(encoder(ids.tolist())[0][:, -1], stated, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_the_resampler_gives_back_a_tone_to_twenty_bits(rate: int, tmp_path: Path) -> None:
    """soxr HQ promises 20 bits; a tone in the passband is known in closed form at any rate."""

    def tone(at: int) -> NDArray[np.float64]:
        return 0.5 * np.sin(2 * np.pi * 441.0 * np.arange(at) / at)

    soundfile.write(tmp_path / "tone.wav", tone(rate), rate, subtype="DOUBLE")
    found = read_wave(tmp_path / "tone.wav", 16_000).samples
    assert RESAMPLER == "soxr HQ"
    assert len(found) == 16_000
    inner = slice(1000, -1000)
    assert np.abs(found - tone(16_000))[inner].max() < 0.5 * 2**-19
