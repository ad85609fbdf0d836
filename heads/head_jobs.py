"""The runs of a grid in bundles: what one worker trains at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from mer.backends import Unit
from mer.heads.config import HeadConfig
from mer.heads.feature_store import FeatureStore
from mer.heads.grid_cost import run_cost, unit_counts
from mer.heads.own_kind import head_kind
from mer.heads.planned_head import PlannedHead, RunKey
from mer.heads.run_queue import choose_device
from mer.heads.stack_size import MEMORY_SHARE, run_bytes

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


def head_jobs(heads: Sequence[PlannedHead], *, workers: int) -> list[Unit]:
    """All runs of some heads in bundles, the same for every process that asks, whatever is finished.

    On a CPU heads with attention train one by one. Otherwise the folds of a seed stay together, because they go through the
    corpus in one order and share what they read, and several seeds where a GPU's memory holds their stack and every
    worker still gets several bundles.

    Args:
        heads: without repetition.
        workers: that will share them.
    """
    seeds = max(1, sum(len(head.config.seeds) for head in heads) // (JOBS_PER_WORKER * workers))
    names = {name for head in heads for name in head.config.branches}
    units = unit_counts(heads[0].cache, sorted(names)) if heads else {}
    return [unit for head in heads for unit in _bundles(head, seeds, units)]


def _bundles(head: PlannedHead, seeds: int, units: Mapping[str, int]) -> Iterator[Unit]:
    cost = run_cost(head.cache, head.config, units)
    for keys in _groups(head, seeds):
        name = f"{head.directory.path.name}/fold{keys[0][0]}-seed{keys[0][1]}-{len(keys)}"
        job = HeadJob(config=head.config, directory=head.directory.path.name, keys=keys)
        yield Unit(name=name, cost=cost * len(keys), content=job)


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
    device = choose_device(head.config.device if torch.cuda.is_available() else "cpu")
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else GPU_BYTES
    sources, _, _ = FeatureStore(torch.device("cpu")).open(
        head.cache, head.config.branches, head.selection.indices, head.config.layers
    )
    folds = len(head.keys) // len(head.config.seeds)
    return max(1, int(MEMORY_SHARE * memory / (folds * run_bytes(head.config, sources, len(head.classes.classes)))))
