"""A small text encoder of the real class for every family, each with a tokenizer of its own kind that knows letters."""

import string
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AlbertTokenizer,
    AutoConfig,
    AutoModel,
    BertTokenizer,
    DebertaV2Tokenizer,
    MPNetTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from mer.tests.extract.small_families import DIM, LAYERS, random_model

POSITIONS = 64
_SIZES: dict[str, Any] = {
    "hidden_size": DIM,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
}
_ROBERTA = _SIZES | {"max_position_embeddings": POSITIONS + 2, "pad_token_id": 1}
TEXT: dict[str, tuple[str, str, dict[str, Any]]] = {
    "BERT": ("bert", "WordPiece", _SIZES),
    "RoBERTa": ("roberta", "BPE", _ROBERTA),
    "XLM-R": ("xlm-roberta", "SentencePiece", _ROBERTA),
    "DeBERTa-v3": (
        "deberta-v2",
        "SentencePiece",
        _SIZES
        | {
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    "ELECTRA": ("electra", "WordPiece", _SIZES | {"embedding_size": 24}),
    "ALBERT": ("albert", "SentencePiece", _SIZES | {"embedding_size": 24}),
    "DistilBERT": (
        "distilbert",
        "WordPiece",
        {"dim": DIM, "n_layers": LAYERS, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": POSITIONS},
    ),
    "MPNet": ("mpnet", "WordPiece of RoBERTa's special tokens", _ROBERTA),
    "ModernBERT": (
        "modernbert",
        "BPE",
        _SIZES
        | {
            "pad_token_id": 1,
            "cls_token_id": 0,
            "bos_token_id": 0,
            "sep_token_id": 2,
            "eos_token_id": 2,
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
        },
    ),
}
"""Type, kind of tokenizer and config of each small text encoder, by the name that people know."""


def write_text(name: str, folder: Path) -> None:
    """Write the encoder `name` of `TEXT`."""
    kind, _, values = TEXT[name]
    tokenizer = _tokenizer(name)
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **values)
    random_model(AutoModel.from_config, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer(name: str) -> Any:
    letters = [*string.ascii_lowercase, ",", ".", "!", ":"]
    if name in ("BERT", "ELECTRA", "DistilBERT"):
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        return BertTokenizer(
            vocab=_numbered([*special, *letters, *(f"##{each}" for each in letters)]), model_max_length=POSITIONS
        )
    if name == "MPNet":
        special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
        return MPNetTokenizer(
            vocab=_numbered([*special, *letters, *(f"##{each}" for each in letters)]), model_max_length=POSITIONS
        )
    if name in ("RoBERTa", "ModernBERT"):
        vocabulary = _numbered(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(pre_tokenizers.ByteLevel.alphabet())])
        if name == "RoBERTa":
            return RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=POSITIONS)
        return _plain_bpe(vocabulary)
    pieces = [(each, -float(number) / 10) for number, each in enumerate(["▁", *letters])]
    if name == "XLM-R":
        vocabulary_of_pieces = [*_scored("<s>", "<pad>", "</s>", "<unk>"), *pieces, *_scored("<mask>")]
        return XLMRobertaTokenizer(vocab=vocabulary_of_pieces, model_max_length=POSITIONS)
    if name == "ALBERT":
        return AlbertTokenizer(
            vocab=[*_scored("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"), *pieces], model_max_length=POSITIONS
        )
    return DebertaV2Tokenizer(vocab=[*_scored("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), *pieces])


def _scored(*special: str) -> list[tuple[str, float]]:
    return [(each, 0.0) for each in special]


def _numbered(pieces: list[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(pieces)}


def _plain_bpe(vocabulary: dict[str, int]) -> PreTrainedTokenizerFast:
    """As ModernBERT's: a file of the tokenizers library, and no class of its own."""
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    ends = [("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>", model_max_length=POSITIONS
    )
