"""A frozen BERT-like encoder: transcripts in, hidden states of every wordpiece out."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from mer.extract.pretrained import (
    EncoderError,
    load_config,
    load_frozen,
    model_label,
    resolve_device,
    weights_fingerprint,
)
from mer.extract.speech_encoder import pick_layers


class TextEncoder:
    """All hidden states of a frozen text encoder, special tokens such as `[CLS]` and `[SEP]` included.

    Args:
        name: Hub id or folder.
        revision: Branch, tag or commit of a hub id.
        layers: Hidden states to return, 0 = the embeddings; None = 1..N.
        dtype: Precision of the forward pass.
        device: `cpu`, `cuda`, ...

    Raises:
        EncoderError: no such encoder, not a bidirectional text encoder, weights or tokenizer missing.
        ExtractError: a layer that the encoder does not have.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        layers: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> None:
        config = load_config(name, revision, "--text-model")
        wrong = _why_no_text_encoder(config)
        if wrong:
            raise EncoderError(f"--text-model {name}: {wrong}; expected a BERT-like encoder")
        tokenizer = _load_tokenizer(name, revision, config.vocab_size)
        model = load_frozen(name, revision, "--text-model", config)
        self.layers = pick_layers(layers, config.num_hidden_layers, "--text-model", name)
        self.dim: int = config.hidden_size
        # RoBERTa's 514 positions hold 512 tokens: the tokenizer knows; 1e30 means that it does not.
        self.max_tokens: int = min(int(tokenizer.model_max_length), config.max_position_embeddings)
        self.identity: dict[str, Any] = {
            "model": model_label(name),
            "type": config.model_type,
            "revision": getattr(config, "_commit_hash", None),
            "weights_sha256": weights_fingerprint(model),
            "tokenizer": tokenizer_fingerprint(tokenizer),
            "layers": list(self.layers),
            "dim": self.dim,
        }
        self.device = resolve_device(device)
        self.model = model.to(self.device, dtype)
        self._tokenizer = tokenizer

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text with the special tokens that the encoder was trained with, never truncated."""
        ids: list[list[int]] = self._tokenizer(
            list(texts), add_special_tokens=True, truncation=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        return ids

    @torch.inference_mode()
    def __call__(self, tokens: Sequence[Sequence[int]]) -> list[Float[Tensor, "wordpieces layers dim"]]:
        """Hidden states of tokenised texts, one tensor per text, on the encoder's device.

        Raises:
            ValueError: a text with more wordpieces than the encoder has positions.
        """
        lengths = [len(ids) for ids in tokens]
        if max(lengths) > self.max_tokens:
            raise ValueError(f"a text has {max(lengths)} wordpieces; the encoder takes {self.max_tokens}")
        ids = torch.full((len(tokens), max(lengths)), self._tokenizer.pad_token_id or 0)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = torch.tensor(text)
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        hidden = self.model(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device), output_hidden_states=True
        ).hidden_states
        return [torch.stack([hidden[layer][row, :count] for layer in self.layers], dim=1) for row, count in enumerate(lengths)]


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Sha256 of the tokenizer's whole definition: vocabulary, normaliser, special tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    definition = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(definition.encode()).hexdigest()


def _why_no_text_encoder(config: Any) -> str | None:
    """What is wrong with a config as a text encoder, or None."""
    if hasattr(config, "conv_kernel") or hasattr(config, "num_mel_bins"):
        return f"a {config.model_type!r} model reads audio, not text"
    encoder_only = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if not encoder_only or getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False):
        return f"a {config.model_type!r} model is no encoder trained to see both sides of a word"
    needed = ("num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings")
    if not all(hasattr(config, key) for key in needed):
        return f"a {config.model_type!r} model has no {' / '.join(k for k in needed if not hasattr(config, k))}"
    return None


def _load_tokenizer(name: str, revision: str | None, vocabulary: int) -> Any:
    advice = "no readable tokenizer (tokenizer.json or vocab.txt); copy it from where the checkpoint comes from"
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as problem:
        raise EncoderError(f"--text-model {name}: {advice}") from problem
    # Without its files transformers makes up a tokenizer that knows the special tokens only.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise EncoderError(f"--text-model {name}: {advice}")
    if max(tokenizer.get_vocab().values()) >= vocabulary:
        raise EncoderError(
            f"--text-model {name}: its tokenizer has {len(tokenizer)} wordpieces, its encoder {vocabulary}: they are not "
            f"of one checkpoint"
        )
    return tokenizer
