"""What a failed try means for the next."""

import socket

import pytest
import torch

from mer.backends.attempt import Attempt, TryFailure, ended_with, failure_of, next_attempt, ran_out_of_memory
from mer.tests.backends.toy_work import task

FIRST = Attempt(task=task("a"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 GB"
        ),
    ],
)
def test_memory_that_ran_out_is_known_by_its_many_names(error: Exception) -> None:
    assert ran_out_of_memory(error)
    assert failure_of(error).memory


def test_torchs_own_allocator_on_the_cpu_is_understood() -> None:
    with pytest.raises(RuntimeError, match="memory") as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert ran_out_of_memory(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), OSError(28, "No space left"), KeyError("out of memory")])
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not ran_out_of_memory(error)


def test_reasons_name_the_host() -> None:
    assert failure_of(ValueError("bad wav")).reason == f"bad wav (on {socket.gethostname()})"
    assert failure_of(MemoryError()).reason.startswith("MemoryError")


@pytest.mark.parametrize(
    ("memory", "workers", "following"),
    [
        (True, 1, Attempt(task=FIRST.task, number=2, share=0.5)),
        (True, 3, Attempt(task=FIRST.task, number=2, share=0.5)),
        (False, 3, Attempt(task=FIRST.task, number=2, avoid=1)),
        (False, 1, None),
    ],
)
def test_the_second_try_is_smaller_or_elsewhere(memory: bool, workers: int, following: Attempt | None) -> None:
    assert next_attempt(FIRST, TryFailure(reason="", memory=memory), worker=1, workers=workers) == following


@pytest.mark.parametrize("memory", [True, False])
def test_there_is_no_third_try(memory: bool) -> None:
    second = Attempt(task=FIRST.task, number=2)
    assert next_attempt(second, TryFailure(reason="", memory=memory), worker=0, workers=2) is None


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [(-9, "killed by SIGKILL, often because"), (-11, "killed by SIGSEGV"), (3, "ended with exit code 3"), (-99, "signal 99")],
)
def test_the_end_of_a_process_is_said_in_words(exit_code: int, words: str) -> None:
    assert words in ended_with(exit_code)
