"""Training of bundled runs on any backend."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mer.backends import BackendError, Slot, Unit, UnitDone
from mer.backends.agreement import check_same, versions
from mer.heads.config import HeadConfig
from mer.heads.feature_store import FeatureStore
from mer.heads.features import Features
from mer.heads.head_jobs import HeadJob
from mer.heads.planned_head import plan_head
from mer.heads.progress import Event
from mer.heads.train_head import open_store
from mer.heads.trained_run import Epoch
from mer.results.run_directory import all_ended


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """What the training of a bundle tells."""

    unit: str
    """Name of the bundle."""
    event: Event
    """What happened."""


@dataclass(frozen=True, kw_only=True)
class HeadWork:
    """All that a worker needs to train bundles of one grid."""

    open_features: Callable[[], Features]
    """Opens the cache; can be pickled."""
    key: str
    """Of that cache."""
    runs: Path
    """Folder of run directories."""
    versions: Mapping[str, str]
    """Of what the launcher runs with."""

    @contextmanager
    def open(self, slot: Slot) -> Iterator["HeadWorker"]:
        """Open the cache; features are opened with the first bundle that needs them.

        Raises:
            BackendError: another cache, or other versions of what can change a number.
        """
        check_same(self.versions, versions())
        before = torch.get_num_threads()
        torch.set_num_threads(slot.threads)
        try:
            cache = self.open_features()
            if cache.key != self.key:
                raise BackendError(
                    f"the cache here is {cache.key[:12]}, the launcher's is {self.key[:12]}: give both one --cache"
                )
            yield HeadWorker(cache, self.runs, slot.device)
        finally:
            torch.set_num_threads(before)

    def is_done(self, unit: Unit) -> bool:
        """Whether every run of a bundle has ended, with a number or without."""
        job: HeadJob = unit.content
        return all_ended(self.runs / job.directory, job.keys, Epoch)


class HeadWorker:
    """Trains bundles one after the other, and keeps the features that they share open."""

    def __init__(self, cache: Features, runs: Path, device: str) -> None:
        """Nothing is read yet."""
        self._cache, self._runs, self._device = cache, runs, device
        self._stores: dict[tuple[float | None, float | None], FeatureStore] = {}

    def do(self, unit: Unit, *, share: float, tell: Callable[[object], None]) -> None:
        """Train the runs of a bundle that have not ended; with a share below 1 fewer of them at once."""
        job: HeadJob = unit.content
        config = self._on_device(job, share)
        head = plan_head(self._cache, config, self._runs)
        if head.result() is None:
            head.train(job.keys, self._store(config), lambda event: tell(JobEvent(unit=unit.name, event=event)))
        tell(UnitDone(name=unit.name))

    def finish(self) -> None:
        """Runs are on disk as soon as they end."""

    def _on_device(self, job: HeadJob, share: float) -> HeadConfig:
        config = replace(job.config, device=self._device)
        return config if share == 1 else replace(config, stack=max(1, int(share * (config.stack or len(job.keys)))))

    def _store(self, config: HeadConfig) -> FeatureStore:
        limits = (config.ram_gib, config.device_memory_gib)
        if limits not in self._stores:
            self._stores[limits] = open_store(config)
        return self._stores[limits]
