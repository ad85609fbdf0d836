"""Commands in processes of their own that tests watch, interrupt and kill."""

import subprocess
import time
from collections.abc import Callable, Mapping

import psutil
import pytest


def start(command: list[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """In a process group of its own, as a shell starts it."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def wait_for(happened: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Until something has happened; a command that ends before it is a failure of the test's timing."""
    for _ in range(12_000):
        if happened():
            return
        assert process.poll() is None, f"ended too early: {process.communicate()}"
        time.sleep(0.005)
    process.kill()
    pytest.fail(f"nothing happened for a minute: {process.communicate()}")


def without_progress(messages: str) -> str:
    """Messages without what the command will take, and how far a slow machine is, a line every half minute."""
    return "".join(line for line in messages.splitlines(keepends=True) if not line.startswith(("planned: ", "extract: ")))


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Its worker processes, the oldest first."""
    return [child for child in psutil.Process(process.pid).children() if _is_worker(child)]


def _is_worker(child: psutil.Process) -> bool:
    # Libraries ask other programs while they are imported: such a child may be gone before it is looked at.
    try:
        return "spawn_main" in " ".join(child.cmdline())
    except psutil.NoSuchProcess:
        return False
