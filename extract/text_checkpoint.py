"""What a text checkpoint says of itself without its weights: kind, tokenizer, and how much text it takes."""

import hashlib
from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from mer.extract.pretrained import EncoderError, load_config, model_label, weights_fingerprint

SENTENCES = (
    "No, thank you.",
    "When she came back from the station it was raining, and nobody had told him that the others would be waiting for an "
    "hour or two: so he went home, angry and tired, and did not answer the door until late in the evening!",
)
"""What an encoder is tried with: the shorter one sees padding when they are together."""


class TextCheckpoint:
    """A checkpoint of a BERT-like encoder.

    Args:
        name: Hub id or folder.
        revision: Branch, tag or commit of a hub id.

    Raises:
        EncoderError: no such encoder, not a bidirectional text encoder, or no tokenizer.
    """

    def __init__(self, name: str, revision: str | None) -> None:
        config = load_config(name, revision, "--text-model")
        wrong = _why_no_text_encoder(config)
        if wrong:
            raise EncoderError(f"--text-model {name}: {wrong}; expected a BERT-like encoder")
        self.name = name
        self.revision = revision
        self.config = config
        self.tokenizer = _load_tokenizer(name, revision, config.vocab_size)
        self.dim: int = config.hidden_size
        # 1e30 means that the tokenizer does not know.
        self.max_tokens: int = min(int(self.tokenizer.model_max_length), config.max_position_embeddings)

    def limit_to(self, model: nn.Module) -> None:
        """Lower `max_tokens` to the positions of a model, where its tokenizer does not know them.

        RoBERTa and its kin count positions from the padding's own on: two of their 514 are never used.
        """
        for name, module in model.named_modules():
            if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
                unused = 0 if module.padding_idx is None else module.padding_idx + 1
                self.max_tokens = min(self.max_tokens, module.num_embeddings - unused)

    @property
    def pad_token(self) -> int:
        """Id that fills up the shorter texts of a batch."""
        return int(self.tokenizer.pad_token_id or 0)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text with the special tokens that the encoder was trained with, never truncated."""
        ids: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=True, truncation=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        return ids

    def describe(self, model: nn.Module) -> dict[str, Any]:
        """What identifies the checkpoint with the weights that were loaded from it."""
        return {
            "model": model_label(self.name),
            "type": self.config.model_type,
            "revision": getattr(self.config, "_commit_hash", None),
            "weights_sha256": weights_fingerprint(model),
            "tokenizer": tokenizer_fingerprint(self.tokenizer),
            "dim": self.dim,
        }


def trial_texts(checkpoint: TextCheckpoint) -> list[list[int]]:
    """Two tokenised sentences of different length, the same ones each time."""
    return [ids[: checkpoint.max_tokens] for ids in checkpoint.tokenize(SENTENCES)]


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
