"""How many runs are trained at once."""

from collections.abc import Mapping

import numpy as np
import psutil
import torch

from mer.heads.build_head import build_head
from mer.heads.config import HeadConfig
from mer.heads.feature_source import FeatureSource

MEMORY_SHARE = 0.5
"""Part of the free memory that a stack may take."""

COPIES = {"late": 6, "linear": 6, "concatenation": 6, "transformer": 12, "coattention": 12}
"""Values that are alive at the peak of a step per unit and encoder width: the average, its gradient and what each
layer keeps for the backward pass; attention layers keep more, and there are several (counted per layer)."""


ATTENTION = ("transformer", "coattention")
"""Heads whose layers attend over all units of an utterance."""


def stack_size(config: HeadConfig, sources: Mapping[str, FeatureSource], classes: int, jobs: int, device: torch.device) -> int:
    """Runs at once: `config.stack`, or as many as fit into memory, at least one and at most `jobs`.

    On a CPU attention heads train one by one on each of PyTorch's threads: their products are large enough alone, and
    what several runs keep for the backward pass no longer fits into the processor's caches.

    Args:
        config: the head.
        sources: granularity to features.
        classes: number of logits.
        jobs: runs to be trained.
        device: where they are trained.
    """
    if jobs < 1:
        return 1
    if config.stack is not None:
        return min(config.stack, jobs)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    most = min(jobs, torch.get_num_threads()) if device.type == "cpu" and config.fusion in ATTENTION else jobs
    return int(np.clip(MEMORY_SHARE * free / run_bytes(config, sources, classes), 1, most))


def run_bytes(config: HeadConfig, sources: Mapping[str, FeatureSource], classes: int) -> float:
    """Estimated bytes of one run in a stack: weights with gradient and Adam's two moments, best weights, activations."""
    shapes = {name: (source.layers, source.dim) for name, source in sources.items()}
    with torch.device("meta"):
        weights = sum(p.numel() for p in build_head(config, shapes, classes, 0, "").parameters())
    copies = COPIES[config.fusion] * (config.attention_layers if config.fusion in ATTENTION else 1)
    units = sum(float(np.quantile(source.lengths, 0.9)) * source.dim for source in sources.values())
    return 4 * (5 * weights + copies * config.batch * units)
