"""Runs in several threads are the runs trained alone, and end together when something goes wrong."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from mer.heads import DivergedError, Epoch, FeatureSource, HeadConfig, Job, StackListener, StackTrainer, TrainedRun
from mer.heads.training.side_by_side import train_side_by_side
from mer.protocol import Cut, make_fold

CacheMaker = Callable[..., Any]
CPU = torch.device("cpu")
RUNS = [(session, seed) for seed in (0, 1) for session in ("1", "2", "3")]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2  # training gives back what it took
    torch.set_num_threads(before)


def make_trainer(cache: Any, config: HeadConfig) -> tuple[StackTrainer, list[Job]]:
    utterances = cache.utterances
    targets = np.array([("ang", "hap", "sad", "neu").index(label) for label in utterances.labels])
    shared: dict[str, Any] = {"sessions": utterances.sessions, "groups": utterances.sessions, "targets": targets}
    numbers, none = np.array(utterances.sessions), np.zeros(0, dtype=np.int64)
    cuts = {
        name: Cut(name=name, train=np.flatnonzero(numbers != name), dev=none, test=np.flatnonzero(numbers == name))
        for name in set(utterances.sessions)
    }
    folds = [make_fold(cuts[session], **shared, classes=list("ahsn"), seed=seed) for session, seed in RUNS]
    sources = {name: FeatureSource(cache.packed(name), device=CPU) for name in config.branches}
    jobs = [Job(fold=fold, seed=seed, statistics={}) for fold, (_, seed) in zip(folds, RUNS, strict=True)]
    return StackTrainer(sources, targets, 4, config, CPU), jobs


def config_of(fusion: str, **fields: Any) -> HeadConfig:
    modality = "speech" if fusion == "transformer" else "both"
    given: dict[str, Any] = {"hidden": 8, "max_epochs": 4, "batch": 8, **fields}
    return HeadConfig(fusion=fusion, modality=modality, granularities=("F",), **given)


@pytest.mark.parametrize(
    ("fusion", "stack", "stopping"),
    [
        ("late", 6, {}),
        ("late", 5, {}),
        ("late", 4, {"patience": 1, "max_epochs": 8, "learning_rate": 0.05}),
        ("transformer", 2, {}),
    ],
)
def test_every_run_in_threads_has_the_very_bits_it_has_alone(
    make_cache: CacheMaker, fusion: str, stack: int, stopping: dict[str, float]
) -> None:
    cache, config = make_cache(), config_of(fusion, **stopping)
    found: list[dict[tuple[str, int], TrainedRun | DivergedError]] = []
    threads: set[str] = set()
    for alone in (True, False):
        trainer, jobs = make_trainer(cache, config)
        outcomes: dict[tuple[str, int], TrainedRun | DivergedError] = {}

        def keep(job: Job, outcome: TrainedRun | DivergedError, into: Any = outcomes) -> None:
            threads.add(threading.current_thread().name)
            into[job.fold.test_session, job.seed] = outcome

        for part, runs in [([job], 1) for job in jobs] if alone else [(jobs, stack)]:
            train_side_by_side(trainer, part, stack=runs, listener=StackListener(run=keep))
        found.append(outcomes)
    assert len(threads) == 3  # the main thread alone, then two
    assert set(found[0]) == set(found[1]) == set(RUNS)
    lengths = {len(run.epochs) for run in found[0].values() if isinstance(run, TrainedRun)}
    assert (len(lengths) > 1) == bool(stopping)  # runs of one stack end at different epochs
    for key, one in found[0].items():
        other = found[1][key]
        assert isinstance(one, TrainedRun)
        assert isinstance(other, TrainedRun)
        assert one.epochs == other.epochs
        np.testing.assert_array_equal(one.logits, other.logits)


def test_a_listener_hears_one_call_at_a_time(make_cache: CacheMaker) -> None:
    trainer, jobs = make_trainer(make_cache(), config_of("late"))
    inside, most = 0, 0
    pause = threading.Event()

    def heard(job: Job, epoch: Epoch) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        pause.wait(0.01)  # lets another thread in, if it can come in
        inside -= 1

    train_side_by_side(trainer, jobs, stack=6, listener=StackListener(epoch=heard))
    assert most == 1


def test_an_error_in_one_thread_ends_the_others(make_cache: CacheMaker) -> None:
    trainer, jobs = make_trainer(make_cache(), config_of("late", max_epochs=10_000, patience=10_000))

    heard: list[int] = []

    def disk_full(job: Job, epoch: Epoch) -> None:
        heard.append(epoch.epoch)
        if epoch.epoch == 3:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        train_side_by_side(trainer, jobs, stack=6, listener=StackListener(epoch=disk_full))
    assert heard.count(3) == 1  # nobody is told anything after it
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("train")]


def test_ctrl_c_ends_all_threads_at_their_next_step(make_cache: CacheMaker) -> None:
    trainer, jobs = make_trainer(make_cache(), config_of("late", max_epochs=10_000, patience=10_000))

    pressed = threading.Event()

    def press(job: Job, epoch: Epoch) -> None:
        if epoch.epoch == 3 and not pressed.is_set():
            pressed.set()
            os.kill(os.getpid(), signal.SIGINT)  # as a terminal does: to the process

    with pytest.raises(KeyboardInterrupt):
        train_side_by_side(trainer, jobs, stack=6, listener=StackListener(epoch=press))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("train")]
