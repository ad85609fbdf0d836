"""Encoders of the real architectures, small and with seeded random weights, for the demo and for tests.

They need no download. What a random network passes on is a fixed nonlinear filterbank of its input:
enough to tell the synthetic corpus' voices apart, and nothing to compare with a trained encoder.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, assert_never

import torch
from tokenizers import normalizers, pre_tokenizers
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    HubertConfig,
    HubertModel,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)
from transformers.utils import logging

from mer.files import whole_folder

SpeechKind = Literal["wav2vec2", "wav2vec2-layer-norm", "wavlm", "wavlm-layer-norm", "hubert", "hubert-layer-norm"]
"""Those without `-layer-norm` normalise their first convolution over time (group norm), as their base checkpoints
do; the others have the shape of the large ones, which take an attention mask and end in a norm."""

_WIDTH = 64
_LAYERS = 12
_HEADS = 4
_CHANNELS = 64
_WORDS = 1000


class SmallEncoderError(ValueError):
    """A small encoder that cannot be written: a folder in use, no texts."""


def write_small_speech_encoder(folder: Path | str, *, seed: int = 0, kind: SpeechKind = "wav2vec2") -> None:
    """Write a 12-layer speech encoder with random weights, in Hugging Face format.

    Args:
        folder: new or empty.
        seed: of the weights; the same seed gives the same bytes.
        kind: architecture.

    Raises:
        SmallEncoderError: `folder` is not empty.
    """
    folder = Path(folder)
    shape: dict[str, Any] = {
        "hidden_size": _WIDTH,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "intermediate_size": 2 * _WIDTH,
        "conv_dim": (_CHANNELS,) * 7,
        "num_conv_pos_embedding_groups": 16,
    }
    layer_norm: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    model: PreTrainedModel
    _require_empty(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match kind:
            case "wav2vec2":
                model = Wav2Vec2Model(Wav2Vec2Config(**shape))
            case "wav2vec2-layer-norm":
                model = Wav2Vec2Model(Wav2Vec2Config(**shape, **layer_norm))
            case "wavlm":
                model = WavLMModel(WavLMConfig(**shape))
            case "wavlm-layer-norm":
                model = WavLMModel(WavLMConfig(**shape, **layer_norm))
            case "hubert":
                model = HubertModel(HubertConfig(**shape))
            case "hubert-layer-norm":
                model = HubertModel(HubertConfig(**shape, **layer_norm))
            case _:
                assert_never(kind)
        _randomize(model)
    _save(model, folder)
    Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=16_000,
        padding_value=0.0,
        do_normalize=True,
        return_attention_mask=model.config.feat_extract_norm == "layer",
    ).save_pretrained(folder)


def write_small_text_encoder(folder: Path | str, texts: Iterable[str], *, seed: int = 0) -> None:
    """Write a 12-layer BERT with random weights and a WordPiece vocabulary from `texts`.

    Args:
        folder: new or empty.
        texts: their words, lower-cased, are the vocabulary; rare and new words fall into letters.
        seed: of the weights; the same seed and texts give the same bytes.

    Raises:
        SmallEncoderError: there are no texts, or `folder` is not empty.
    """
    folder = Path(folder)
    _require_empty(folder)
    vocabulary = _word_pieces(texts)
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=512)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=_WIDTH,
            num_hidden_layers=_LAYERS,
            num_attention_heads=_HEADS,
            intermediate_size=2 * _WIDTH,
        )
        model = BertModel(config)
        _randomize(model)
    _save(model, folder)
    tokenizer.save_pretrained(folder)


def _save(model: PreTrainedModel, folder: Path) -> None:
    # transformers draws a progress bar for the milliseconds that this takes
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        if shown:
            logging.enable_progress_bar()


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SmallEncoderError(f"{folder}: not an empty folder; give a new one for the small encoder")
    folder.mkdir(parents=True, exist_ok=True)


def _word_pieces(texts: Iterable[str]) -> dict[str, int]:
    # The trainer of `tokenizers` breaks ties at random: words by frequency, then letters, give the same ids always.
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    if not words:
        raise SmallEncoderError("no texts to take a vocabulary from; give the corpus' transcripts")
    letters = sorted(set("".join(words)))
    frequent = sorted(words, key=lambda word: (-words[word], word))[:_WORDS]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *frequent])
    return {piece: number for number, piece in enumerate(pieces)}


@torch.no_grad()
def _randomize(model: nn.Module) -> None:
    """Scale weights so that 12 random layers still pass on pitch, tempo and timbre.

    The libraries' initialisations are meant for training and for widths of 768. Here convolutions keep
    the power of their input (He et al., 2015, https://arxiv.org/abs/1502.01852, eq. 10) and half of each
    filter is a constant over its taps, a low-pass, without which seven strides remove the fundamental
    frequency; transformer layers are weak beside their residual path.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d) and "conv_layers" in name:
            white, constant = torch.randn_like(module.weight), torch.randn_like(module.weight[..., :1])
            module.weight.copy_((white + constant) / math.sqrt(module.weight[0].numel()))
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3 / math.sqrt(module.in_features))
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.2 if "position" in name else 1.0)


def ensure_small_encoders(folder: Path | str, texts: Iterable[str]) -> tuple[Path, Path]:
    """A speech and a text encoder in `folder`, written unless they are there.

    Returns:
        The folders of the speech and of the text encoder.
    """
    speech, text = Path(folder) / "small-wav2vec2", Path(folder) / "small-bert"
    if not speech.exists():
        _whole(speech, write_small_speech_encoder)
    if not text.exists():
        _whole(text, lambda place: write_small_text_encoder(place, texts))
    return speech, text


def _whole(folder: Path, write: Callable[[Path], None]) -> None:
    """An interrupted encoder is never taken for whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as part:
        write(part)
