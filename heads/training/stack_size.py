"""How many runs are trained at once."""

from collections.abc import Mapping

import numpy as np
import psutil
import torch

from mer.heads.config import HeadConfig
from mer.heads.features.feature_source import FeatureSource
from mer.heads.fusion.build_head import build_head
from mer.heads.own_kind import head_kind
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.training.device_bytes import device_bytes

MEMORY_SHARE, DEVICE_SHARE = 0.5, 0.8
"""Part of the free memory that a stack may take: where run after run is computed, and where kernels compute all at once, which
`device_bytes` is a closer model of."""


def stack_size(
    config: HeadConfig,
    sources: Mapping[str, FeatureSource],
    classes: int,
    jobs: int,
    device: torch.device,
    path: DevicePath | None = None,
) -> int:
    """Runs at once: `config.stack`, or as many as fit into memory, at least one and at most `jobs`.

    On a CPU attention heads train one by one on each of PyTorch's threads: their products are large enough alone, and
    what several runs keep for the backward pass no longer fits into the processor's caches.

    Args:
        config: the head.
        sources: granularity to features.
        classes: number of logits.
        jobs: runs to be trained.
        device: where they are trained.
        path: how a stack is computed there; None on a CPU.
    """
    if jobs < 1:
        return 1
    if config.stack is not None:
        return min(config.stack, jobs)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    most = min(jobs, torch.get_num_threads()) if path is None and head_kind(config.fusion).attends else jobs
    share = DEVICE_SHARE if path is not None and path.kernels else MEMORY_SHARE
    return int(np.clip(share * free / run_bytes(config, sources, classes, path), 1, most))


def run_bytes(config: HeadConfig, sources: Mapping[str, FeatureSource], classes: int, path: DevicePath | None = None) -> float:
    """Estimated bytes of one run in a stack: weights with gradient and Adam's two moments, best weights, activations.

    Args:
        config: the head.
        sources: granularity to features.
        classes: number of logits.
        path: how a stack is computed on a device; with kernels the estimate is that of `device_bytes`.
    """
    shapes = {name: (source.layers, source.dim) for name, source in sources.items()}
    kind = head_kind(config.fusion)
    # What the user's own code does while it builds a module may not work without memory.
    with torch.device("meta" if kind.source is None else "cpu"):
        head = build_head(config, shapes, classes, 0, "")
    weights = sum(each.numel() for each in head.parameters())
    if path is not None and path.kernels and head.together_on(path):
        return device_bytes(config, sources, weights, path)
    copies = kind.copies * (config.attention_layers if kind.attends else 1)
    units = sum(float(np.quantile(source.lengths, 0.9)) * source.dim for source in sources.values())
    return 4 * (5 * weights + copies * config.batch * units)
