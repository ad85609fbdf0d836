"""Trains what is not yet finished of a result, many runs at once."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from safetensors.torch import save
from torch import Tensor, from_numpy

from mer.heads.config import HeadConfig
from mer.heads.errors import DivergedError, HeadError
from mer.heads.features.feature_store import FeatureStore, layer_positions
from mer.heads.features.features import Features, PackedFeatures
from mer.heads.features.statistics import Statistics, membership_of, training_statistics
from mer.heads.progress import EpochDone, Progress, StackHalved, StatisticsProgress, TrainingStarted
from mer.heads.training.planned_runs import PlannedRuns
from mer.heads.training.selection import Selection
from mer.heads.training.side_by_side import train_side_by_side
from mer.heads.training.stack_size import stack_size
from mer.heads.training.trained_run import AnyEpoch, TrainedRun
from mer.heads.training.trainer import Job, StackListener, StackTrainer
from mer.protocol import ClassMap, Fold, confusion, unweighted_accuracy
from mer.results import RunDone
from mer.results.finished_run import FinishedRun
from mer.results.result_document import run_row
from mer.results.run_directory import RunDirectory
from mer.tracking.tracked_result import track_run
from mer.tracking.tracked_run import plain_settings

SCALE = ("ratings.mean", "ratings.std")
"""Tensors beside the weights of a head that predicts ratings: its outputs times the second, plus the first, are ratings."""


class RunQueue:
    """The runs of one result, trained in a stack; each is on disk as soon as it ends."""

    def __init__(
        self,
        cache: Features,
        config: HeadConfig,
        selection: Selection,
        classes: ClassMap,
        planned: PlannedRuns,
        directory: RunDirectory,
        store: FeatureStore,
        progress: Progress,
    ) -> None:
        """Open the features.

        Args:
            cache: the feature cache.
            config: the head and how to train it.
            selection: utterances that take part.
            classes: their classes.
            planned: folds and seeds in the order of reporting.
            directory: where finished runs go, and where those of an earlier command are.
            store: opens the features, or has them open.
            progress: called with what happens.

        Raises:
            HeadError: features that the cache does not hold.
        """
        self._config, self._selection, self._classes, self._store = config, selection, classes, store
        self._planned, self._directory, self._progress = planned, directory, progress
        speakers = speakers_of(selection, config)
        self._sources, self._packed, self._place = store.open(
            cache, config.branches, selection.indices, config.layers, speakers=speakers
        )
        self._positions = {name: layer_positions(cache, name, config.layers) for name in config.branches}
        self._stored = {name: len(cache.layers(name)) for name in config.branches}
        self._numbers = {(fold.test_session, seed): number for number, (fold, seed) in enumerate(planned.runs, start=1)}
        self._device = str(store.device)
        self._over = 0
        self._track = config.track
        self._settings = {"corpus": cache.spec["corpus"]["name"], **plain_settings(config.as_dict())}

    def train(self, pending: Sequence[tuple[Fold, int]], *, over: int) -> None:
        """Train runs of the plan; each is in the directory as soon as it ends, with a number or without.

        Args:
            pending: the runs.
            over: how many others have ended before.
        """
        self._over = over
        # The folds of a seed go through the corpus in one order: side by side they share what they read.
        pending = sorted(pending, key=lambda job: job[1])
        for fold, seed in pending:
            self._directory.forget_epochs(fold.test_session, seed)
        trainer = StackTrainer(
            self._sources,
            self._selection.targets,
            len(self._classes.classes),
            self._config,
            self._store.device,
            learned=self._selection.learned,
        )
        stack = stack_size(
            self._config, self._sources, len(self._classes.classes), len(pending), self._store.device, trainer.path
        )
        how = ""
        if trainer.path is not None:
            self._device = f"{self._store.device} ({trainer.path.products(together=trainer.together)})"
            how = f"; {trainer.path.sentence(together=trainer.together)}"
        self._progress(
            TrainingStarted(
                runs=len(self._planned.runs),
                finished=over,
                stack=stack,
                device=self._device,
                features=f"{self._place}{how}",
                notes=self._planned.notes,
            )
        )
        listener = StackListener(
            epoch=self._on_epoch, run=self._on_run, stack=lambda runs: self._progress(StackHalved(runs=runs))
        )
        train_side_by_side(trainer, self._jobs(pending), stack=stack, listener=listener)

    def _jobs(self, pending: Sequence[tuple[Fold, int]]) -> list[Job]:
        if not self._config.standardised or not pending:
            return [Job(fold=fold, seed=seed, statistics={}) for fold, seed in pending]
        membership = membership_of([fold.train for fold, _ in pending], len(self._selection.ids))
        found = {name: self._statistics(name, self._packed[name], membership) for name in self._config.standardised}
        return [
            Job(fold=fold, seed=seed, statistics={name: each[number] for name, each in found.items()})
            for number, (fold, seed) in enumerate(pending)
        ]

    def _statistics(self, name: str, packed: PackedFeatures, membership: np.ndarray) -> tuple[Statistics, ...]:
        def report(done: int, total: int) -> None:
            self._progress(StatisticsProgress(granularity=name, done=done, total=total))

        def compute(wanted: np.ndarray) -> tuple[Statistics, ...]:
            return training_statistics(packed, wanted, release=self._sources[name].streams, progress=report)

        every = self._store.statistics(name, membership, compute)
        positions = list(self._positions[name])
        if len(positions) == self._stored[name]:
            return every
        return tuple(Statistics(mean=each.mean[positions], std=each.std[positions]) for each in every)

    def _on_epoch(self, job: Job, epoch: AnyEpoch) -> None:
        self._directory.append_epoch(job.fold.test_session, job.seed, epoch)
        self._progress(
            EpochDone(
                run=self._numbers[job.fold.test_session, job.seed],
                runs=len(self._planned.runs),
                over=self._over,
                fold=job.fold.test_session,
                seed=job.seed,
                epoch=epoch.epoch,
                max_epochs=self._config.max_epochs,
                train_loss=epoch.train_loss,
                validation_loss=epoch.validation_loss,
                validation_ua=epoch.validation_ua,
                validation_ccc=getattr(epoch, "validation_ccc", None),
            )
        )

    def _on_run(self, job: Job, outcome: TrainedRun | DivergedError) -> None:
        ua, best_epoch, failure = None, None, None
        if isinstance(outcome, DivergedError):
            failure = str(outcome)
            self._directory.commit_failure(job.fold.test_session, job.seed, failure)
        else:
            run = self._as_finished(outcome, job.fold)
            self._directory.commit(run, save(_tensors(outcome, job.statistics), {"format": "mer-head-1"}))
            best_epoch = run.best_epoch
            self._tell_tracker(run)
            if run.truth:
                ua = unweighted_accuracy(confusion(np.array(run.truth), np.array(run.predictions), len(self._classes.classes)))
        self._over += 1
        self._progress(
            RunDone(
                run=self._numbers[job.fold.test_session, job.seed],
                runs=len(self._planned.runs),
                over=self._over,
                fold=job.fold.test_session,
                seed=job.seed,
                best_epoch=best_epoch,
                ua=ua,
                failure=failure,
            )
        )

    def _tell_tracker(self, run: FinishedRun) -> None:
        """Tell of a run that is on disk. What fails ends nothing: whoever has the result tries once more, and says it."""
        if self._track is None:
            return
        row = run_row(run, self._selection, self._classes, self._selection.shares)
        try:
            track_run(self._directory.path, self._track, self._settings, row, [asdict(epoch) for epoch in run.epochs])
        except Exception:  # each of these packages raises what it likes
            self._track = None

    def _as_finished(self, trained: TrainedRun, fold: Fold) -> FinishedRun:
        ratings = self._selection.ratings
        # What is kept of the validation part calibrates and combines probabilities, which ratings are not.
        held_out = fold.validation if ratings is None else fold.validation[:0]
        return FinishedRun(
            fold=trained.fold,
            seed=trained.seed,
            best_epoch=trained.best_epoch,
            epochs=trained.epochs,
            ids=tuple(self._selection.ids[row] for row in fold.test),
            truth=() if ratings is not None else tuple(self._selection.targets[fold.test].tolist()),
            ratings=() if ratings is None else tuple(tuple(row) for row in ratings[fold.test].tolist()),
            logits=tuple(tuple(row) for row in trained.logits.tolist()),
            validation_ids=tuple(self._selection.ids[row] for row in held_out),
            validation_truth=tuple(self._selection.targets[held_out].tolist()),
            validation_logits=tuple(tuple(row) for row in trained.validation_logits[: len(held_out)].tolist()),
            layer_shares=trained.layer_shares,
            seconds=trained.seconds,
            device=self._device,
        )


def speakers_of(selection: Selection, config: HeadConfig) -> dict[str, tuple[str, ...]]:
    """Granularities that are normalised by speaker, with the speaker of every row.

    Raises:
        HeadError: utterances that name no speaker.
    """
    if not config.by_speaker:
        return {}
    nameless = [name for name, speaker in zip(selection.ids, selection.speakers, strict=True) if not speaker]
    if nameless:
        raise HeadError(
            f"{len(nameless)} utterances name no speaker, first {nameless[0]!r}, and normalize 'speaker' needs it: "
            "name speakers in the corpus and extract again, or use normalize 'speech'"
        )
    return dict.fromkeys(config.by_speaker, selection.speakers)


def _tensors(trained: TrainedRun, statistics: Mapping[str, Statistics]) -> dict[str, Tensor]:
    """Everything that a prediction needs: parameters, and the statistics they were trained with."""
    tensors = dict(trained.weights)
    for name, each in statistics.items():
        tensors[f"statistics.{name}.mean"] = each.mean
        tensors[f"statistics.{name}.std"] = each.std
    if trained.scale is not None:
        tensors |= {name: from_numpy(each) for name, each in zip(SCALE, trained.scale, strict=True)}
    return tensors
