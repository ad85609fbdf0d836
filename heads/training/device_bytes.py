"""What a run of a stack takes of a device's memory: the model from which stacks are sized."""

from collections.abc import Mapping

import numpy as np

from mer.heads.config import HeadConfig
from mer.heads.features.feature_source import FeatureSource
from mer.heads.fusion.attention import default_attention_heads
from mer.heads.own_kind import head_kind
from mer.heads.stacked.device.device_path import DevicePath

TEXT = "T"


def device_bytes(config: HeadConfig, sources: Mapping[str, FeatureSource], weights: int, path: DevicePath) -> float:
    """Bytes of one run at the peak of a step whose utterances are as long as nine of ten, where kernels compute all runs at once.

    That is each weight with its two moments and its best value; and what the layers keep for the backward pass, with what the
    widest of them owes while it is computed.

    Args:
        config: one of a head that `Head.together_on` takes.
        sources: granularity to features.
        weights: values of its parameters.
        path: how it is computed.
    """
    lengths = {name: float(np.quantile(source.lengths, 0.9)) for name, source in sources.items()}
    dims = {name: source.dim for name, source in sources.items()}
    layers = {name: source.layers for name, source in sources.items()}
    units = {name: config.batch * length for name, length in lengths.items()}
    normal, hidden = (dtype.itemsize for dtype in (path.normal, path.hidden))
    # The factors' part of a gradient is written once for every 64 units of an utterance.
    parts = {name: 4 * layers[name] * dims[name] * (units[name] / 64 + config.batch / 2) for name in units}
    if not head_kind(config.fusion).attends:
        kept = sum(units[name] * (normal * dims[name] + 2 * hidden * config.hidden) for name in units)
        return 16 * weights + kept + max(parts[name] + 2 * hidden * units[name] * config.hidden for name in units)
    dim = max(dims.values())
    heads = config.attention_heads or default_attention_heads(dim)
    kept = sum(normal * dim * each for each in units.values())
    speech = [name for name in units if name != TEXT] or list(units)
    for name in speech:
        kept += config.attention_layers * _layer(config, heads, dim, units[name], units.get(TEXT), (normal, hidden))
        if TEXT in units:
            pairs = heads * config.batch * lengths[name] * lengths[TEXT]
            kept += config.attention_layers * 2 * normal * pairs * (units[name] > heads * units[TEXT])
    owed = dim * ((normal if path.shares else hidden) * config.feed_forward_ratio + 3 * hidden)
    # Weights, both moments and the best weights; and what products take in place of weights.
    copies = normal if normal < 4 else 0
    return (16 + copies) * weights + kept + max(parts[name] + owed * units[name] for name in units)


def _layer(config: HeadConfig, heads: int, dim: int, speech: float, text: float | None, sizes: tuple[int, int]) -> float:
    """Bytes that one layer keeps: of its own units, and of text's in a branch of its own."""
    normal, hidden = sizes
    # Normalised twice, and the hidden layer; and a bit for each value that ReLU and dropout let out or not.
    each = dim * (normal * (2 + config.feed_forward_ratio) + (1 + config.feed_forward_ratio) / 8)
    if text is None:
        return speech * (each + 4 * hidden * dim)
    if speech > heads * text:
        return (speech + text) * each + text * (4 * heads + 4) * hidden * dim
    return (speech + text) * (each + 4 * hidden * dim)
