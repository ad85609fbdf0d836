"""The runs of a grid in bundles: what one worker trains at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mer.backends import Task
from mer.backends.device import training_device
from mer.grids.grid_cost import run_cost, unit_counts
from mer.heads.config import HeadConfig
from mer.heads.features.feature_store import FeatureStore
from mer.heads.own_kind import head_kind
from mer.heads.training.planned_head import PlannedHead, RunKey
from mer.heads.training.stack_size import MEMORY_SHARE, run_bytes

JOBS_PER_WORKER = 4
"""As many at least, so that workers end at about the same time."""
GPU_BYTES = 16 * 2**30
"""Taken for the memory of a GPU that is not in this machine."""


@dataclass(frozen=True, kw_only=True)
class HeadJob:
    """Runs of one head that are trained together, as one stack where it fits."""

    config: HeadConfig
    """The head."""
    directory: str
    """Name of its run directory."""
    keys: tuple[RunKey, ...]
    """Test session and seed of each run."""


def whole_heads(heads: Sequence[PlannedHead]) -> list[Task]:
    """All runs of each head as one bundle, for a process that does them all.

    Args:
        heads: without repetition.
    """
    units = _unit_counts(heads)
    return [_bundle(head, head.keys, units) for head in heads]


def head_jobs(heads: Sequence[PlannedHead], *, workers: int) -> list[Task]:
    """All runs of some heads in bundles, the largest first; the same for every process that asks, whatever is finished.

    On a CPU heads with attention train one by one. Otherwise the folds of a seed stay together, because they go through the
    corpus in one order and share what they read, and several seeds where a GPU's memory holds their stack and every
    worker still gets several bundles.

    Args:
        heads: without repetition.
        workers: that will share them.
    """
    seeds = max(1, sum(len(head.config.seeds) for head in heads) // (JOBS_PER_WORKER * workers))
    units = _unit_counts(heads)
    bundles = [_bundle(head, keys, units) for head in heads for keys in _groups(head, seeds)]
    return sorted(bundles, key=lambda task: (-task.cost, task.name))


def _unit_counts(heads: Sequence[PlannedHead]) -> dict[str, int]:
    names = {name for head in heads for name in head.config.branches}
    return unit_counts(heads[0].cache, sorted(names)) if heads else {}


def _bundle(head: PlannedHead, keys: tuple[RunKey, ...], units: Mapping[str, int]) -> Task:
    directory = head.directory.path.name
    return Task(
        name=f"{directory}/fold{keys[0][0]}-seed{keys[0][1]}-{len(keys)}",
        cost=run_cost(head.cache, head.config, units) * len(keys),
        content=HeadJob(config=head.config, directory=directory, keys=keys),
    )


def _groups(head: PlannedHead, seeds: int) -> list[tuple[RunKey, ...]]:
    config = head.config
    on_gpu = config.device.startswith("cuda") or (config.device == "auto" and torch.cuda.is_available())
    if not on_gpu and head_kind(config.fusion).attends:
        return [(key,) for key in head.keys]
    together = min(seeds, _seeds_that_fit(head)) if on_gpu else 1
    chosen = [config.seeds[start : start + together] for start in range(0, len(config.seeds), together)]
    return [tuple(key for key in head.keys if key[1] in group) for group in chosen]


def _seeds_that_fit(head: PlannedHead) -> int:
    """Seeds whose runs a GPU trains in one stack, at least one."""
    device = training_device(head.config.device if torch.cuda.is_available() else "cpu")
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else GPU_BYTES
    sources, _, _ = FeatureStore(torch.device("cpu")).open(
        head.cache, head.config.branches, head.selection.indices, head.config.layers
    )
    folds = len(head.keys) // len(head.config.seeds)
    return max(1, int(MEMORY_SHARE * memory / (folds * run_bytes(head.config, sources, len(head.classes.classes)))))
