"""A small encoder of the real class for every family, with random weights and the checkpoint's own preprocessor."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    PreTrainedModel,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

LAYERS, DIM = 3, 32
_SHAPE: dict[str, Any] = {
    "hidden_size": DIM,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
_CONVOLUTIONS: dict[str, Any] = _SHAPE | {
    "conv_dim": (16,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
_LARGE: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
_WHISPER: dict[str, Any] = {
    "d_model": DIM,
    "encoder_layers": LAYERS,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 48,
    "num_mel_bins": 16,
    "max_source_positions": 50,
    "max_target_positions": 8,
    "vocab_size": 60,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1),
}
"""Of 1 s rather than 30: everything else is as it is in the large ones."""

SPEECH: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("wav2vec2", _CONVOLUTIONS),
    "hubert": ("hubert", _CONVOLUTIONS),
    "wavlm": ("wavlm", _CONVOLUTIONS),
    "data2vec-audio": ("data2vec-audio", _CONVOLUTIONS | {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 7}),
    "unispeech": ("unispeech", _CONVOLUTIONS),
    "unispeech-large": ("unispeech", _CONVOLUTIONS | _LARGE),
    "unispeech-sat": ("unispeech-sat", _CONVOLUTIONS),
    "unispeech-sat-large": ("unispeech-sat", _CONVOLUTIONS | _LARGE),
    "wav2vec2-conformer": ("wav2vec2-conformer", _CONVOLUTIONS | {"conv_depthwise_kernel_size": 7}),
    "wav2vec2-conformer-rotary": (
        "wav2vec2-conformer",
        _CONVOLUTIONS | {"conv_depthwise_kernel_size": 7, "position_embeddings_type": "rotary", "feat_extract_norm": "layer"},
    ),
    "sew": ("sew", _CONVOLUTIONS | {"squeeze_factor": 2}),
    "wav2vec2-bert": ("wav2vec2-bert", _SHAPE | {"conv_depthwise_kernel_size": 7, "feature_projection_input_dim": 32}),
    "whisper": ("whisper", _WHISPER),
}
"""Type and config of each small speech encoder."""


def write_speech(kind: str, folder: Path) -> None:
    """Write the encoder `kind` of `SPEECH`."""
    model_type, values = SPEECH[kind]
    random_model(AutoModel.from_config, AutoConfig.for_model(model_type, **values)).save_pretrained(folder)
    preprocessor(kind).save_pretrained(folder)


def preprocessor(kind: str) -> Any:
    """What prepares audio for it in `transformers`."""
    if kind == "whisper":
        return WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    if kind == "wav2vec2-bert":
        return SeamlessM4TFeatureExtractor(feature_size=16, num_mel_bins=16)
    return Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=kind.endswith("large"))


@torch.no_grad()
def random_model(make: Any, config: Any) -> PreTrainedModel:
    """A model of a config, its weights larger than at the start of a training: every part of it counts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = make(config)
        for name, each in model.named_parameters():
            if each.dim() > 1:
                torch.nn.init.normal_(each, std=0.2)
            elif name.endswith("bias"):
                torch.nn.init.normal_(each, std=0.1)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                torch.nn.init.normal_(buffer, std=0.1)
    return model
