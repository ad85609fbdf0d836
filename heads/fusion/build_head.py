"""The untrained head of a run."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.fusion.attention import default_attention_heads
from mer.heads.fusion.head import Head
from mer.heads.fusion.own_head import OwnHead
from mer.heads.own_kind import head_kind, own_values
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
        HeadError: encoder widths that the head cannot combine or divide, or a class that is no head.
    """
    generator = torch.Generator().manual_seed(integer_seed(seed, "weights", fold))
    kind, softmax = head_kind(config.fusion), config.layer_weights == "softmax"
    values: dict[str, Any] = {name: getattr(config, name) for name in sorted(kind.options)}
    if "attention_heads" in values:
        values["attention_heads"] = config.attention_heads or default_attention_heads(max(dim for _, dim in shapes.values()))
    values |= own_values(kind, config.head_options)
    head: Any = kind.load()
    if issubclass(head, Head):
        built: Head = head(shapes, classes=classes, generator=generator, softmax=softmax, **values)
        return built
    if not issubclass(head, nn.Module):
        raise HeadError(
            f"fusion {config.fusion!r} must be a class of torch.nn.Module or mer.heads.Head, got {head.__mro__[1].__name__}"
        )
    dims = {name: dim for name, (_, dim) in shapes.items()}
    return OwnHead(shapes, lambda: head(dims, classes, **values), generator=generator, softmax=softmax)
