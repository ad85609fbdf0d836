"""Trains many runs of one head at once: each by itself in every number, together in what is read and launched."""

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from mer.heads.config import HeadConfig
from mer.heads.errors import DivergedError, HeadError
from mer.heads.features.feature_source import FeatureSource
from mer.heads.features.statistics import Statistics
from mer.heads.features.step import Step
from mer.heads.fusion.build_head import build_head
from mer.heads.fusion.head import Head
from mer.heads.own_kind import head_kind
from mer.heads.rating_loss import RatingLoss
from mer.heads.stacked.device.device_path import DevicePath, default_path
from mer.heads.training.batches import NO_ROWS, Rows, cut
from mer.heads.training.device_stack import DeviceStack, Slot
from mer.heads.training.heap import keep_large_buffers
from mer.heads.training.run_loss import RunLoss, answers_of, check_copies, losses_of, mean_loss, run_loss, totals_of
from mer.heads.training.stacked_forward import stacked_logits
from mer.heads.training.step_plans import EpochOf, StepPlans, Steps
from mer.heads.training.trained_run import AnyEpoch, EarlyStopping, Epoch, TrainedRun, rated_epoch
from mer.protocol import Fold, confusion, integer_seed, unweighted_accuracy, weighted_accuracy


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A run to be trained."""

    fold: Fold
    """Rows of each part."""
    seed: int
    """Decides weights, order and dropout."""
    statistics: Mapping[str, Statistics]
    """Granularity to this run's training statistics; empty without normalisation."""

    @property
    def name(self) -> str:
        """For messages."""
        return f"fold {self.fold.test_session}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class StackListener:
    """Called while training goes on."""

    epoch: Callable[[Job, Any], None] = lambda job, epoch: None
    """After each epoch of each run, with its `Epoch` or `RatedEpoch`."""
    run: Callable[[Job, "TrainedRun | DivergedError"], None] = lambda job, outcome: None
    """After each run, with what is kept of it or why it failed."""
    stack: Callable[[int], None] = lambda runs: None
    """When the stack was halved because memory ran out."""


@dataclass(kw_only=True, eq=False)
class _Active:
    """A run in the stack."""

    job: Job
    head: Head | Slot
    statistics: dict[str, Statistics]
    dropout: torch.Generator | None
    loss: RunLoss
    optimizer: torch.optim.Optimizer | None
    stopping: EarlyStopping
    epochs: list[AnyEpoch] = field(default_factory=list)
    seconds: float = 0.0
    over: bool = False
    failure: DivergedError | None = None
    validation_logits: Tensor | None = None
    logits: Tensor | None = None


class StackTrainer:
    """Runs that share a head's shape, its features and its hyper-parameters.

    Adam and, unless the config says otherwise, cross-entropy (Zhao 2022, section 3.2). The order of utterances is one
    permutation of all rows per seed and epoch, of which a fold takes its own training members, so that the folds of a seed
    read together.
    The test utterances of a run are looked at once, after its last epoch.

    Several threads may train with one trainer; `stop` ends all of them before their next step.
    """

    def __init__(
        self,
        sources: Mapping[str, FeatureSource],
        targets: Rows,
        classes: int,
        config: HeadConfig,
        device: torch.device,
        *,
        learned: Float64[np.ndarray, "utterances classes"] | None = None,
        path: DevicePath | None = None,
    ) -> None:
        """Nothing is trained yet.

        Args:
            sources: granularity to features, on `device`.
            targets: class number of every row.
            classes: number of classes.
            config: the head and how to train it.
            device: where to train.
            learned: what is learned of every row instead of its class number: shares of the classes, or ratings.
            path: how a stack is computed on a device; None takes that of `device`.
        """
        self.path = path or default_path(device, config.precision)
        """The device path; None where a CPU's compiled loops compute run after run."""
        self._sources, self._targets, self._classes = dict(sources), targets, classes
        self._config, self._device = config, device
        self._truth = targets if learned is None else learned
        kernels = self.path is not None and self.path.kernels
        self._plans = StepPlans(self._sources, utterances=len(targets), batch=config.batch, tables=kernels)
        self.stop = threading.Event()

    @property
    def together(self) -> bool:
        """Whether the head has a form in which the device path computes all runs of a stack at once."""
        head = head_kind(self._config.fusion).load()
        return self.path is not None and issubclass(head, Head) and head.together_on(self.path)

    @property
    def device(self) -> torch.device:
        """Where runs are trained."""
        return self._device

    def train(
        self,
        jobs: Sequence[Job] | deque[Job],
        *,
        stack: int,
        listener: StackListener | None = None,
    ) -> None:
        """Train every job; up to `stack` at once, the next one starts where one ends.

        Args:
            jobs: in the order in which they are started; a deque is emptied, and may be shared with other threads.
            stack: runs at once; halved when memory runs out.
            listener: hears of epochs and runs.

        Raises:
            HeadError: memory runs out with a single run.
        """
        listener = listener or StackListener()
        if self._device.type == "cpu":
            keep_large_buffers()
        waiting, active = jobs if isinstance(jobs, deque) else deque(jobs), list[_Active]()
        together: DeviceStack | None = None
        while True:
            try:
                while len(active) < stack and (job := _next(waiting)) is not None:
                    head = self._build(job)
                    if together is None and self.path is not None and head.together_on(self.path):
                        together = DeviceStack(head, job.statistics, stack, self.path, self._device)
                    active.append(self._start(job, head, together))
                if not active:
                    return self._plans.forget()
                self._epoch(active, listener)
                self._test(active)
                for run in active:
                    if run.over:
                        listener.run(run.job, self._outcome(run))
                staying = [number for number, run in enumerate(active) if not run.over]
                active = [active[number] for number in (staying if together is None else together.keep(staying))]
            except TrainingStopped:
                return self._plans.forget()
            except (torch.OutOfMemoryError, RuntimeError) as problem:
                if not _is_out_of_memory(problem):
                    raise
                # What was begun begins anew: a run's numbers do not depend on the runs beside it.
                again = [run.job for run in active]
                del active[:]
                together = None
                if len(again) <= 1:
                    raise HeadError(
                        f"{again[0].name if again else 'a run'}: out of memory with a single run ({problem}); "
                        "use --device cpu, a smaller --batch or --hidden, or fewer granularities"
                    ) from problem
                stack = len(again) // 2
                waiting.extendleft(reversed(again))
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
                listener.stack(stack)

    def _build(self, job: Job) -> Head:
        shapes = {name: (source.layers, source.dim) for name, source in self._sources.items()}
        return build_head(self._config, shapes, self._classes, job.seed, job.fold.test_session)

    def _start(self, job: Job, head: Head, together: DeviceStack | None) -> _Active:
        seed = integer_seed(job.seed, "dropout", job.fold.test_session)
        loss = run_loss(self._config, self._truth, job.fold.train, self._classes, self._device)
        stopping = EarlyStopping(self._config.patience)
        if together is not None:
            slot = together.enter(head, job.statistics, seed)
            return _Active(job=job, head=slot, statistics={}, dropout=None, loss=loss, optimizer=None, stopping=stopping)
        head = head.to(self._device)
        return _Active(
            job=job,
            head=head,
            statistics={name: each.to(self._device) for name, each in job.statistics.items()},
            dropout=torch.Generator(self._device).manual_seed(seed),
            loss=loss,
            optimizer=torch.optim.Adam(head.parameters(), lr=self._rate, fused=True),
            stopping=stopping,
        )

    @property
    def _rate(self) -> float:
        if self._config.learning_rate is None:
            raise HeadError(f"{self._config.fusion} has no learning rate")
        return self._config.learning_rate

    def _epoch(self, active: Sequence[_Active], listener: StackListener) -> None:
        """One epoch of every run of the stack, its validation included."""
        started = time.perf_counter()
        losses = self._train_epoch(active)
        logits = self._evaluate(active, [run.job.fold.validation for run in active])
        seconds = (time.perf_counter() - started) / len(active)
        together = _together(active)
        beyond = [None] * len(active) if together is None else together.beyond_copies()
        for run, loss, each, parameter in zip(active, losses, logits, beyond, strict=True):
            run.seconds += seconds
            number = len(run.epochs) + 1
            try:
                check_copies(parameter, f"{run.job.name}, epoch {number}")
                train_loss = mean_loss(loss, f"{run.job.name}, epoch {number}", len(run.job.fold.train))
                epoch = self._validated(number, train_loss, each, run)
            except DivergedError as problem:
                run.failure, run.over = problem, True
                continue
            run.epochs.append(epoch)
            listener.epoch(run.job, epoch)
            stop = run.stopping.should_stop(number, epoch.validation_loss, run.head)
            if run.stopping.best_epoch == number:
                run.validation_logits = each.double().cpu()
            run.over = stop or number == self._config.max_epochs

    def _validated(self, number: int, train_loss: float, outputs: Tensor, run: _Active) -> AnyEpoch:
        rows, name = run.job.fold.validation, f"{run.job.name}, epoch {number}"
        if isinstance(run.loss, RatingLoss):
            return rated_epoch(number, train_loss, self._truth[rows], answers_of(run.loss, outputs).numpy(), name)
        loss = run.loss.mean(rows, outputs.double().cpu())
        if not math.isfinite(loss):
            raise DivergedError(f"{name}: the validation loss is {loss}")
        matrix = confusion(self._targets[rows], outputs.argmax(1).cpu().numpy(), self._classes)
        return Epoch(
            epoch=number,
            train_loss=train_loss,
            validation_loss=loss,
            validation_ua=unweighted_accuracy(matrix),
            validation_wa=weighted_accuracy(matrix),
        )

    def _train_epoch(self, active: Sequence[_Active]) -> list[list[Tensor]]:
        """The summed loss of each step of each run."""
        losses: list[list[Tensor]] = [[] for _ in active]
        whole = _together(active) is not None
        for members, step in self._steps(self._plans.epoch(_epoch_of(active), whole=whole)):
            runs = [active[member] for member in members]
            if (together := _together(runs)) is not None:
                own = [run.loss for run in runs]
                sums = together.train_step(self._sources, step, partial(totals_of, own, step), self._rate)
                for member, rows in enumerate(step.rows):
                    losses[member] += [sums[member]] if len(rows) else []
                continue
            optimizers = [run.optimizer for run in runs if run.optimizer is not None]
            for optimizer in optimizers:
                optimizer.zero_grad()
            counts = [len(rows) for rows in step.rows]
            logits = self._forward(runs, step, [run.dropout for run in runs if run.dropout is not None])
            each = torch.split(losses_of([run.loss for run in runs], step, logits), counts)
            sums = torch.stack([part.sum() for part in each])
            # Runs share no parameter: the gradient of the sum of their losses is each run's own.
            torch.autograd.backward((sums / sums.new_tensor(counts)).sum())
            for member, optimizer, loss in zip(members, optimizers, sums.detach().unbind(), strict=True):
                optimizer.step()
                losses[member].append(loss)
        if whole:
            self._plans.expect(_epoch_of([run for run in active if len(run.epochs) + 1 < self._config.max_epochs], later=1))
        return losses

    def _evaluate(self, active: Sequence[_Active], rows: Sequence[Rows]) -> list[Float[Tensor, "_ classes"]]:
        """Logits of each run's own rows, without dropout."""
        found: list[list[Tensor]] = [[] for _ in active]
        with torch.inference_mode():
            batches = [cut(each, self._config.batch) for each in rows]
            plans = self._plans.of(batches, [0] * len(active), None, whole=_together(active) is not None)
            for members, step in self._steps(plans):
                logits = self._forward([active[member] for member in members], step, None)
                for member, part in zip(members, torch.split(logits, [len(each) for each in step.rows]), strict=True):
                    found[member].append(part)
        return [torch.cat(parts) for parts in found]

    def _steps(self, plans: Steps) -> Iterator[tuple[list[int], Step]]:
        """The runs that still have a batch, and these batches; the next step is prefetched, the last one let go."""
        for (members, step), after in itertools.pairwise(itertools.chain(plans, [None])):  # type: ignore[misc]
            if self.stop.is_set():
                raise TrainingStopped
            for source in self._sources.values():
                if after is not None:
                    source.prefetch(after[1])
            yield members, step
            for source in self._sources.values():
                source.done(step)

    def _forward(self, runs: Sequence[_Active], step: Step, dropout: Sequence[torch.Generator] | None) -> Tensor:
        if (together := _together(runs)) is not None:
            return together.logits(self._sources, step, None)
        heads, statistics = [run.head for run in runs if isinstance(run.head, Head)], [run.statistics for run in runs]
        return stacked_logits(heads, statistics, self._sources, step, dropout)

    def _test(self, active: Sequence[_Active]) -> None:
        """Logits of the test utterances of runs that are over, with the best weights."""
        finished = [run for run in active if run.over and run.failure is None]
        if not finished:
            return
        for run in finished:
            run.head.load_state_dict(run.stopping.weights)
        asked = finished if _together(active) is None else active
        rows = [run.job.fold.test if run in finished else NO_ROWS for run in asked]
        for run, logits in zip(asked, self._evaluate(asked, rows), strict=True):
            if run not in finished:
                continue
            run.logits = answers_of(run.loss, logits)
            for part, each in (("test", run.logits), ("validation", run.validation_logits)):
                lost = 0 if each is None else int((~each.isfinite()).any(1).sum())
                if lost and run.failure is None:
                    run.failure = DivergedError(f"{run.job.name}: the logits of {lost} {part} utterances are no numbers")

    def _outcome(self, run: _Active) -> TrainedRun | DivergedError:
        if run.failure is not None or run.logits is None or run.validation_logits is None:
            return run.failure or DivergedError(f"{run.job.name}: was not tested")
        return TrainedRun(
            fold=run.job.fold.test_session,
            seed=run.job.seed,
            epochs=tuple(run.epochs),
            best_epoch=run.stopping.best_epoch,
            weights={name: value.cpu() for name, value in run.stopping.weights.items()},
            logits=run.logits.numpy(),
            validation_logits=run.validation_logits.numpy(),
            layer_shares=run.head.layer_shares(),
            scale=(run.loss.mean, run.loss.std) if isinstance(run.loss, RatingLoss) else None,
            seconds=run.seconds,
        )


class TrainingStopped(Exception):  # noqa: N818 - nothing is wrong
    """Training was asked to end."""


def _next(waiting: deque[Job]) -> Job | None:
    """The next job; another thread may have taken the last one since somebody looked."""
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _epoch_of(runs: Sequence[_Active], later: int = 0) -> EpochOf:
    """The next epoch of some runs, or one that comes later."""
    keys = [(run.job.seed, len(run.epochs) + 1 + later) for run in runs]
    return EpochOf(keys=keys, train=[run.job.fold.train for run in runs])


def _together(runs: Sequence[_Active]) -> DeviceStack | None:
    """The stack of runs that are computed on the device path."""
    return runs[0].head.stack if isinstance(runs[0].head, Slot) else None


def _is_out_of_memory(problem: BaseException) -> bool:
    """A GPU's own error, or the CPU allocator's, which has no class of its own."""
    return isinstance(problem, torch.OutOfMemoryError) or "can't allocate memory" in str(problem)
