"""Trains runs in several threads of a CPU, each run on one thread.

One thread a run is faster than all threads on one run after the other, because products of a head are too small to be
shared, and it makes the numbers of a run independent of the machine's number of cores.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import ParamSpec

import torch

from mer.heads.training.trainer import Job, StackListener, StackTrainer, TrainingStopped

P = ParamSpec("P")


def train_side_by_side(trainer: StackTrainer, jobs: Sequence[Job], *, stack: int, listener: StackListener) -> None:
    """Train every job; on a CPU the stack is dealt to as many threads as PyTorch may use, on a GPU it stays whole.

    Args:
        trainer: of the runs.
        jobs: in the order in which they are started.
        stack: runs at once, over all threads.
        listener: hears of epochs and runs, one call at a time.

    Raises:
        HeadError: memory runs out with a single run.
    """
    if trainer.device.type != "cpu":
        trainer.train(jobs, stack=stack, listener=listener)
        return
    with _one_thread() as available:
        threads = max(1, min(available, stack, len(jobs)))
        if threads == 1:
            trainer.train(jobs, stack=stack, listener=listener)
        else:
            _train_in_threads(trainer, jobs, stack // threads, threads, listener)


def _train_in_threads(trainer: StackTrainer, jobs: Sequence[Job], stack: int, threads: int, listener: StackListener) -> None:
    waiting, lock = deque(jobs), threading.Lock()
    shared = StackListener(
        epoch=_one_at_a_time(lock, trainer.stop, listener.epoch),
        run=_one_at_a_time(lock, trainer.stop, listener.run),
        stack=_one_at_a_time(lock, trainer.stop, listener.stack),
    )

    def work() -> None:
        with _one_thread():
            trainer.train(waiting, stack=stack, listener=shared)

    with ThreadPoolExecutor(threads, thread_name_prefix="train") as pool:
        futures = [pool.submit(work) for _ in range(threads)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Also on Ctrl-C: threads end at their next step.
            if not all(future.done() and future.exception() is None for future in futures):
                trainer.stop.set()
    for future in futures:
        future.result()


def _one_at_a_time(lock: AbstractContextManager[bool], stop: threading.Event, call: Callable[P, None]) -> Callable[P, None]:
    """Nobody hears or writes anything after a call that raised."""

    def locked(*args: P.args, **kwargs: P.kwargs) -> None:
        with lock:
            if stop.is_set():
                raise TrainingStopped
            try:
                call(*args, **kwargs)
            except BaseException:
                stop.set()
                raise

    return locked


@contextmanager
def _one_thread() -> Iterator[int]:
    """PyTorch uses one thread in this thread; gives what it used before and goes back to."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
