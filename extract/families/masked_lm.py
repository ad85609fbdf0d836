"""BERT and its like: whatever encoder `transformers` can train to fill in words that are hidden from it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from mer.extract.checkpoint_files import lacking_package
from mer.extract.families.registry import BERT_LIKE, TEXT_FAMILIES
from mer.extract.families.text_checkpoint import TextCheckpoint
from mer.extract.hidden_states import text_layers
from mer.extract.pretrained import EncoderError


class MaskedLM(TextCheckpoint):
    """A checkpoint of any type with a masked-language-model head in `transformers`.

    Raises:
        EncoderError: of another kind, or without a tokenizer.
    """

    def __init__(self, name: str, revision: str | None, config: Any) -> None:
        wrong = _why_not(config)
        if wrong:
            own = ", ".join(each for each in TEXT_FAMILIES if each != BERT_LIKE)
            raise EncoderError(f"--text-model {name}: {wrong}; expected a BERT-like encoder{f' or one of {own}' if own else ''}")
        super().__init__(name, revision, config)
        self.tokenizer = _load_tokenizer(self.title, name, revision, config.vocab_size)
        self.pad_token = int(self.tokenizer.pad_token_id or 0)
        # 1e30 means that the tokenizer does not know.
        self.max_tokens = min(int(self.tokenizer.model_max_length), config.max_position_embeddings)

    def limit_to(self, model: nn.Module) -> None:
        """RoBERTa and its kin count positions from the padding's own on: two of their 514 are never used."""
        for name, module in model.named_modules():
            if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
                unused = 0 if module.padding_idx is None else module.padding_idx + 1
                self.max_tokens = min(self.max_tokens, module.num_embeddings - unused)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Wordpieces by the checkpoint's own tokenizer."""
        ids: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=True, truncation=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        return ids

    def tokenizer_sha256(self) -> str:
        """Sha256 over the tokenizer's whole definition: vocabulary, normaliser, special tokens."""
        return tokenizer_fingerprint(self.tokenizer)

    def states(self, model: Any, tokens: Tensor, mask: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """As the model hands them out."""
        output = model(input_ids=tokens, attention_mask=mask, output_hidden_states=True)
        return text_layers(output, layers, self.layer_count, self.title)

    def last_state(self, model: Any, tokens: Tensor, mask: Tensor) -> Tensor:
        """Without the other layers."""
        states: Tensor = model(input_ids=tokens, attention_mask=mask).last_hidden_state
        return states

    def save_inputs(self, folder: Path) -> None:
        """The tokenizer's files."""
        self.tokenizer.save_pretrained(folder)


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Sha256 of the tokenizer's whole definition: vocabulary, normaliser, special tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    definition = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(definition.encode()).hexdigest()


def _why_not(config: Any) -> str | None:
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


def _load_tokenizer(title: str, name: str, revision: str | None, vocabulary: int) -> Any:
    advice = "no readable tokenizer (tokenizer.json or vocab.txt); copy it from where the checkpoint comes from"
    if package := lacking_package(Path(name)):
        raise EncoderError(f"{title}: {package}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    except ImportError as problem:
        raise EncoderError(f"{title}: its tokenizer needs another package: {' '.join(str(problem).split())}") from problem
    except Exception as problem:  # damaged files end in whatever error the reading library happens to meet
        raise EncoderError(f"{title}: {advice}") from problem
    # Without its files transformers makes up a tokenizer that knows the special tokens only.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise EncoderError(f"{title}: {advice}")
    if max(tokenizer.get_vocab().values()) >= vocabulary:
        raise EncoderError(
            f"{title}: its tokenizer has {len(tokenizer)} wordpieces, its encoder {vocabulary}: they are not of one checkpoint"
        )
    return tokenizer
