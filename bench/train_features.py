"""Random features with IEMOCAP's lengths, folds over them, and sources that say when training reads what."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mer.heads import DivergedError, FeatureSource, HeadConfig, HeadError, Job, StackListener, StackTrainer, TrainedRun
from mer.heads.features.reads import Reads
from mer.heads.features.step import Step
from mer.heads.training.trained_run import AnyEpoch
from mer.protocol import Fold

LAYERS, DIM, CLASSES = 12, 768, 4
RATES = {"F": 50.0, "P": 10.0, "S": 4.5, "W": 3.0, "T": 3.3}
"""Units per second of an IEMOCAP utterance."""


class RandomUnits:
    """Random float16 features of one granularity, in memory."""

    def __init__(self, lengths: NDArray[np.int64], seed: int, *, pool: int | None = None) -> None:
        """Draw them.

        Args:
            lengths: units of each utterance.
            seed: of the values.
            pool: utterances are parts of this many units, which overlap; None draws each unit by itself.
        """
        random = np.random.default_rng(seed)
        self.lengths, self.layers, self.dim = lengths, LAYERS, DIM
        self.nbytes = int(lengths.sum()) * LAYERS * DIM * 2
        total = int(lengths.sum()) if pool is None else max(pool, int(lengths.max()))
        units = np.empty((total, LAYERS, DIM), dtype=np.float16)
        for start in range(0, total, 512):
            part = units[start : start + 512]
            part[:] = random.standard_normal(part.shape, dtype=np.float32)
        units.flags.writeable = False
        starts = np.cumsum(lengths) - lengths if pool is None else random.integers(0, total - lengths + 1)
        self.arrays = [units[start : start + length] for start, length in zip(starts, lengths, strict=True)]

    def views(self, rows: Sequence[int]) -> Sequence[NDArray[Any]]:
        """The arrays themselves."""
        return [self.arrays[row] for row in rows]

    def release(self, rows: Sequence[int]) -> None:
        """Nothing to release."""

    def prefetch(self, rows: Sequence[int]) -> None:
        """Nothing to read ahead."""


def lengths_like_iemocap(utterances: int, granularity: str) -> NDArray[np.int64]:
    """Units per utterance: lognormal seconds with mean 4.55 and median 3.58, between 0.6 and 34."""
    mu, sigma = math.log(3.58), math.sqrt(2 * math.log(4.55 / 3.58))
    seconds = np.random.default_rng(7).lognormal(mu, sigma, utterances).clip(0.6, 34)
    return np.maximum(1, np.round(seconds * RATES[granularity])).astype(np.int64)


def make_jobs(runs: int, utterances: int, *, judged: int | None = None) -> list[Job]:
    """Runs over five sessions of equal size: the five folds of seed 0, then of seed 1, and so on.

    Args:
        runs: how many.
        utterances: in the corpus.
        judged: validation and test utterances of each run; None takes 10 % of the others, and the session.
    """
    sessions = np.arange(utterances) % 5
    jobs = []
    for seed, session in ((run // 5, run % 5) for run in range(runs)):
        rest = np.random.default_rng([seed, session]).permutation(np.flatnonzero(sessions != session))
        held, test = max(1, len(rest) // 10), np.flatnonzero(sessions == session)
        fold = Fold(test_session=str(session), train=np.sort(rest[held:]), validation=rest[:held][:judged], test=test[:judged])
        jobs.append(Job(fold=fold, seed=seed, statistics={}))
    return jobs


@dataclass(kw_only=True, eq=False)
class Meter:
    """The first epoch of each stack: from its first read until all its runs are validated, without setting up."""

    clock: Callable[[], float]
    """CPU-seconds of this process, or seconds of a GPU that has finished."""
    seconds: float = 0.0
    """Of all stacks together."""
    steps: list[tuple[Step, bool]] = field(default_factory=list)
    """What was read, and whether it was trained on."""
    losses: list[float] = field(default_factory=list)
    """Mean training loss of each run."""
    _armed: bool = True
    _since: float | None = None

    def read(self, step: Step) -> None:
        """A step is about to be read."""
        if self._armed:
            self._armed, self._since = False, self.clock()
        if self._since is not None:
            self.steps.append((step, not torch.is_inference_mode_enabled()))

    def epoch(self, job: Job, epoch: AnyEpoch) -> None:
        """A run has been validated; all runs of a stack are before the first is told."""
        if self._since is not None:
            self.seconds += self.clock() - self._since
            self._since = None
        self.losses.append(epoch.train_loss)

    def run(self, job: Job, outcome: TrainedRun | DivergedError) -> None:
        """A run has been tested; what is read next belongs to another one."""
        self._armed = True
        if isinstance(outcome, DivergedError):
            raise outcome


class MeteredSource(FeatureSource):
    """Features that tell a meter before they are read."""

    meter: Meter | None = None

    def reads(self, step: Step) -> Reads:
        """See `FeatureSource.reads`."""
        if self.meter is not None:
            self.meter.read(step)
        return super().reads(step)


def clock_of(device: torch.device) -> Callable[[], float]:
    """CPU-seconds of this process; on a GPU seconds, after it has finished."""
    if device.type == "cpu":
        return time.process_time

    def seconds() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return seconds


def train_epoch(
    sources: Mapping[str, MeteredSource],
    targets: NDArray[np.int64],
    config: HeadConfig,
    jobs: Sequence[Job],
    *,
    stack: int,
    device: torch.device,
) -> Meter:
    """One epoch of `mer` with every job, up to `stack` at once.

    Raises:
        HeadError: memory ran out, so that fewer were trained at once.
    """
    meter = Meter(clock=clock_of(device))
    next(iter(sources.values())).meter = meter

    def halved(runs: int) -> None:
        raise HeadError(f"{stack} runs do not fit into memory: ask for --stacks {runs}")

    trainer = StackTrainer(sources, targets, CLASSES, config, device)
    trainer.train(jobs, stack=stack, listener=StackListener(epoch=meter.epoch, run=meter.run, stack=halved))
    return meter
