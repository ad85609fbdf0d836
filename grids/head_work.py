"""Training of bundled runs on any backend."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mer.backends import BackendError, Slot, Task, TaskDone, TaskFailed
from mer.backends.agreement import check_same, versions
from mer.grids.grid_events import TaskEvent
from mer.grids.head_jobs import HeadJob
from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.features.feature_store import FeatureStore
from mer.heads.features.features import Features
from mer.heads.progress import Progress
from mer.heads.training.planned_head import plan_head
from mer.heads.training.train_head import open_store
from mer.heads.training.trained_run import Epoch
from mer.protocol import ProtocolError
from mer.results.errors import ResultError
from mer.results.run_directory import all_ended

HEAD_ERRORS = (HeadError, ProtocolError, ResultError)
"""Errors that are a head's own; the others go on."""


@dataclass(frozen=True, kw_only=True)
class HeadWork:
    """All that a worker needs to train bundles of one grid."""

    open_features: Callable[[], Features]
    """Opens the cache; can be pickled."""
    key: str
    """Key of that cache."""
    runs: Path
    """Folder of run directories."""
    versions: Mapping[str, str]
    """Versions of what the launcher runs with."""
    here: bool = False
    """Whether the only worker is the launcher: threads stay as they are, and heads on their own devices."""
    command: str | None = None
    """The command line, for the provenance of heads that are begun here."""

    @contextmanager
    def open(self, slot: Slot) -> Iterator["HeadWorker"]:
        """Open the cache; features are opened with the first bundle that needs them.

        Raises:
            BackendError: another cache, or other versions of what can change a number.
        """
        check_same(self.versions, versions())
        before = torch.get_num_threads()
        if not self.here:
            torch.set_num_threads(slot.threads)
        try:
            cache = self.open_features()
            if cache.key != self.key:
                raise BackendError(
                    f"the cache here is {cache.key[:12]}, the launcher's is {self.key[:12]}: give both one --cache"
                )
            yield HeadWorker(self, cache, None if self.here else slot.device)
        finally:
            torch.set_num_threads(before)

    def is_done(self, task: Task) -> bool:
        """Whether every run of a bundle has ended, with a number or without."""
        job: HeadJob = task.content
        return all_ended(self.runs / job.directory, job.keys, Epoch)


class HeadWorker:
    """Trains bundles one after the other, and keeps the features that they share open."""

    def __init__(self, work: HeadWork, cache: Features, device: str | None) -> None:
        """Nothing is read yet; without a device each head is trained on its own."""
        self._work, self._cache, self._device = work, cache, device
        self._stores: dict[tuple[str, float | None, float | None], FeatureStore] = {}

    def do(self, task: Task, *, share: float, tell: Callable[[object], None]) -> None:
        """Train the runs of a bundle that have not ended; with a share below 1 fewer of them at once."""
        try:
            self._train(task.content, share, lambda event: tell(TaskEvent(task=task.name, event=event)))
        except HEAD_ERRORS as problem:
            tell(TaskFailed(name=task.name, reason=str(problem), tries=1))
        else:
            tell(TaskDone(name=task.name))

    def _train(self, job: HeadJob, share: float, progress: Progress) -> None:
        config = job.config if self._device is None else replace(job.config, device=self._device)
        if share < 1:
            config = replace(config, stack=max(1, int(share * (config.stack or len(job.keys)))))
        head = plan_head(self._cache, config, self._work.runs)
        if head.result() is not None:
            return
        store = self._store(config)
        if self._work.here:
            head.note_start(self._work.command, str(store.device))
        head.train(job.keys, store, progress)

    def finish(self) -> None:
        """Runs are on disk as soon as they end."""

    def _store(self, config: HeadConfig) -> FeatureStore:
        """One for all heads that share a device and its limits, so that features are loaded once."""
        limits = (config.device, config.ram_gib, config.device_memory_gib)
        if limits not in self._stores:
            self._stores[limits] = open_store(config)
        return self._stores[limits]
