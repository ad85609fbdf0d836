"""What one process of a training does for all: read and write its files, and tell the others what came of it."""

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

Found = TypeVar("Found")


def on_main(accelerator: Accelerator, do: Callable[[], Found]) -> Found:
    """What `do` gives in the first process, in every process; its error, if it has one, is raised in every process.

    Args:
        accelerator: of the processes.
        do: called in the first process only.
    """
    if accelerator.num_processes == 1:
        return do()
    outcome: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            outcome[0] = do()
        except Exception as problem:
            outcome[1] = problem
    broadcast_object_list(outcome)
    found: Found = outcome[0]
    if outcome[1] is not None:
        raise outcome[1]
    return found
