"""The untrained head of a run."""

from collections.abc import Mapping

import torch

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
    softmax = config.layer_weights == "softmax"
    if config.fusion in {"late", "linear"}:
        return LateFusion(
            shapes, hidden=config.hidden, classes=classes, dropout=config.dropout, generator=generator, softmax=softmax
        )
    if config.fusion == "concatenation":
        return Concatenation(
            shapes, hidden=config.hidden, classes=classes, dropout=config.dropout, generator=generator, softmax=softmax
        )
    if config.fusion == "transformer":
        return TransformerHead(
            shapes,
            classes=classes,
            hidden=config.hidden,
            dropout=config.dropout,
            attention_heads=config.attention_heads,
            attention_layers=config.attention_layers,
            feed_forward_ratio=config.feed_forward_ratio,
            generator=generator,
            softmax=softmax,
        )
    return CoattentionHead(
        shapes,
        classes=classes,
        dropout=config.dropout,
        attention_heads=config.attention_heads,
        attention_layers=config.attention_layers,
        feed_forward_ratio=config.feed_forward_ratio,
        generator=generator,
        softmax=softmax,
    )
