"""Trains what is not yet finished of a result, run by run."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.heads.config import HeadConfig
from mer.heads.errors import DivergedError, HeadError
from mer.heads.feature_source import open_sources
from mer.heads.features import Features, PackedFeatures
from mer.heads.progress import EpochDone, Progress, RunDone, StatisticsProgress, TrainingStarted
from mer.heads.run_directory import FinishedRun, RunDirectory
from mer.heads.selection import Selection
from mer.heads.statistics import Statistics, membership_of, training_statistics
from mer.heads.trainer import Epoch, TrainedRun, train_run
from mer.protocol import ClassMap, Fold, confusion, unweighted_accuracy


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the first CUDA device where there is one, else the CPU.

    Raises:
        HeadError: a CUDA device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HeadError(f"device {name} is not there ({torch.cuda.device_count()} CUDA devices); use auto or cpu")
    return device


class RunQueue:
    """The runs of one command, trained one after the other; each is on disk before the next begins."""

    def __init__(
        self,
        cache: Features,
        config: HeadConfig,
        selection: Selection,
        classes: ClassMap,
        plan: Sequence[tuple[Fold, int]],
        directory: RunDirectory,
        device: torch.device,
        progress: Progress,
    ) -> None:
        """Open the features.

        Args:
            cache: the feature cache.
            config: the head and how to train it.
            selection: utterances that take part.
            classes: their classes.
            plan: folds and seeds in the order of training and reporting.
            directory: where finished runs go, and where those of an earlier command are.
            device: where to train.
            progress: called with what happens.

        Raises:
            HeadError: features that the cache does not hold.
        """
        self.device = device
        self._config, self._selection, self._classes = config, selection, classes
        self._plan, self._directory, self._progress = plan, directory, progress
        self._sources, self._packed, self._place = open_sources(
            cache, config.branches, selection.indices, device=self.device, ram_gib=config.ram_gib
        )

    def train(self) -> tuple[list[FinishedRun], list[dict[str, Any]]]:
        """Finished runs in plan order, and those that failed."""
        done = {(run.fold, run.seed): run for run in self._directory.finished()}
        pending = [(f, s) for f, s in self._plan if (f.test_session, s) not in done]
        self._directory.rewrite_metrics([done[key] for key in self._keys() if key in done])
        self._progress(TrainingStarted(runs=len(self._plan), finished=len(done), device=str(self.device), features=self._place))
        statistics = self._statistics([fold for fold, _ in pending])
        failed: list[dict[str, Any]] = []
        durations: list[float] = []
        for position, (fold, seed) in enumerate(pending):
            left = (len(pending) - position, durations)
            started = time.perf_counter()
            try:
                trained = self._train_one(fold, seed, {g: each[position] for g, each in statistics.items()}, left)
            except DivergedError as problem:
                failed.append({"fold": fold.test_session, "seed": seed, "reason": str(problem)})
                self._report(fold, seed, None, str(problem))
                continue
            durations.append(time.perf_counter() - started)
            run = self._finished(trained, fold, durations[-1])
            stored = {g: each[position] for g, each in statistics.items()}
            self._directory.commit(run, _tensors(trained, stored))
            done[fold.test_session, seed] = run
            self._report(fold, seed, run, None)
        return [done[key] for key in self._keys() if key in done], failed

    def _keys(self) -> list[tuple[str, int]]:
        return [(fold.test_session, seed) for fold, seed in self._plan]

    def _statistics(self, folds: Sequence[Fold]) -> dict[str, tuple[Statistics, ...]]:
        if self._config.normalize == "none" or not folds:
            return {}
        membership = membership_of([fold.train for fold in folds], len(self._selection.ids))
        release = self._config.ram_gib is not None

        def of(name: str, packed: PackedFeatures) -> tuple[Statistics, ...]:
            def report(done: int, total: int) -> None:
                self._progress(StatisticsProgress(granularity=name, done=done, total=total))

            return training_statistics(packed, membership, release=release, progress=report)

        return {name: of(name, packed) for name, packed in self._packed.items()}

    def _train_one(
        self, fold: Fold, seed: int, statistics: Mapping[str, Statistics], left: tuple[int, Sequence[float]]
    ) -> TrainedRun:
        number = self._keys().index((fold.test_session, seed)) + 1
        remaining, durations = left
        started = time.perf_counter()

        def on_epoch(epoch: Epoch) -> None:
            self._directory.append_epoch(fold.test_session, seed, epoch)
            expected = float(np.mean(durations)) * remaining if durations else None
            elapsed = time.perf_counter() - started
            self._progress(
                EpochDone(
                    run=number,
                    runs=len(self._plan),
                    fold=fold.test_session,
                    seed=seed,
                    epoch=epoch.epoch,
                    max_epochs=self._config.max_epochs,
                    train_loss=epoch.train_loss,
                    validation_loss=epoch.validation_loss,
                    validation_ua=epoch.validation_ua,
                    seconds_left=None if expected is None else max(0.0, expected - elapsed),
                )
            )

        return train_run(
            sources=self._sources,
            targets=self._selection.targets,
            classes=len(self._classes.classes),
            fold=fold,
            seed=seed,
            config=self._config,
            statistics=statistics,
            device=self.device,
            on_epoch=on_epoch,
        )

    def _finished(self, trained: TrainedRun, fold: Fold, seconds: float) -> FinishedRun:
        return FinishedRun(
            fold=trained.fold,
            seed=trained.seed,
            best_epoch=trained.best_epoch,
            epochs=trained.epochs,
            ids=tuple(self._selection.ids[row] for row in fold.test),
            truth=tuple(self._selection.targets[fold.test].tolist()),
            probabilities=tuple(tuple(row) for row in trained.probabilities.tolist()),
            layer_shares=trained.layer_shares,
            seconds=seconds,
        )

    def _report(self, fold: Fold, seed: int, run: FinishedRun | None, failure: str | None) -> None:
        ua = None
        if run is not None:
            ua = unweighted_accuracy(confusion(np.array(run.truth), np.array(run.predictions), len(self._classes.classes)))
        self._progress(
            RunDone(
                run=self._keys().index((fold.test_session, seed)) + 1,
                runs=len(self._plan),
                fold=fold.test_session,
                seed=seed,
                best_epoch=None if run is None else run.best_epoch,
                ua=ua,
                failure=failure,
            )
        )


def _tensors(trained: TrainedRun, statistics: Mapping[str, Statistics]) -> dict[str, Tensor]:
    """Everything that a prediction needs: parameters, and the statistics they were trained with."""
    tensors = dict(trained.weights)
    for name, each in statistics.items():
        tensors[f"statistics.{name}.mean"] = each.mean
        tensors[f"statistics.{name}.std"] = each.std
    return tensors
