"""The untrained head of a run."""

from collections.abc import Mapping
from typing import Any

import torch

from mer.heads.attention import default_attention_heads
from mer.heads.coattention_head import CoattentionHead
from mer.heads.concatenation import Concatenation
from mer.heads.config import HeadConfig
from mer.heads.head import Head
from mer.heads.late_fusion import LateFusion
from mer.heads.transformer_head import TransformerHead
from mer.protocol import integer_seed


def build_head(config: HeadConfig, shapes: Mapping[str, tuple[int, int]], classes: int, seed: int, fold: str) -> Head:
    """An untrained head whose weights depend on the seed and the fold only.

    Args:
        config: which head, its width and dropout.
        shapes: granularity to (layers, dim), in the order of `HeadConfig.branches`.
        classes: number of logits.
        seed: the run's seed.
        fold: the run's test session.

    Raises:
        HeadError: encoder widths that the head cannot combine or divide.
    """
    generator = torch.Generator().manual_seed(integer_seed(seed, "weights", fold))
    shared: dict[str, Any] = {
        "classes": classes,
        "dropout": config.dropout,
        "generator": generator,
        "softmax": config.layer_weights == "softmax",
    }
    widest = max(dim for _, dim in shapes.values())
    attention: dict[str, Any] = {
        "attention_heads": config.attention_heads or default_attention_heads(widest),
        "attention_layers": config.attention_layers,
        "feed_forward_ratio": config.feed_forward_ratio,
    }
    match config.fusion:
        case "concatenation":
            return Concatenation(shapes, hidden=config.hidden, **shared)
        case "transformer":
            return TransformerHead(shapes, hidden=config.hidden, **attention, **shared)
        case "coattention":
            return CoattentionHead(shapes, **attention, **shared)
        case _:
            return LateFusion(shapes, hidden=config.hidden, **shared)
