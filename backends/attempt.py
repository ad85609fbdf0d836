"""Tries of a task: how one failed, and whether and how the next is made."""

import signal
import socket
import traceback
from dataclasses import dataclass

from mer.backends.work import Task
from mer.files.refusals import explained

TRIES = 2
HALF = 0.5
MEMORY_ERRORS = {"MemoryError", "OutOfMemoryError"}
MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try of a task."""

    task: Task
    """What is tried."""
    number: int = 1
    """From 1."""
    share: float = 1.0
    """Share of the usual batch size."""
    avoid: int | None = None
    """Slot where it failed for a reason that may lie there: a full disk, a broken device."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TryFailure:
    """How a try ended."""

    reason: str
    """For people; with a traceback only where the error is not one of input or files."""
    memory: bool
    """Memory ran out, or may have: the worker was killed."""


def failure_of(error: BaseException) -> TryFailure:
    """A failure on this host from the exception that a worker raised."""
    memory = ran_out_of_memory(error)
    if memory or isinstance(error, ValueError | OSError):
        reason = (explained(error) if isinstance(error, OSError) else str(error)) or type(error).__name__
    else:
        reason = "".join(traceback.format_exception(error)).strip()
    return TryFailure(reason=f"{reason} (on {socket.gethostname()})", memory=memory)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether it is MemoryError or torch's, known by name: this room does without torch."""
    if any(kind.__name__ in MEMORY_ERRORS for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in MEMORY_WORDS)


def ended_with(exit_code: int | None) -> str:
    """How a process ended, in words."""
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = ", often because the system ran short of memory: try fewer --workers" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def next_attempt(failed: Attempt, failure: TryFailure, *, worker: int, workers: int) -> Attempt | None:
    """The try after a failed one: with half the batch if memory ran out, else on another worker, if there is one.

    Args:
        failed: the try.
        failure: how it ended.
        worker: number of the slot where it failed.
        workers: how many slots there are.
    """
    if failed.number >= TRIES:
        return None
    if failure.memory:
        return Attempt(task=failed.task, number=failed.number + 1, share=HALF)
    if workers == 1:
        return None
    return Attempt(task=failed.task, number=failed.number + 1, share=failed.share, avoid=worker)
