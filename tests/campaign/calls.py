"""Every change that a process makes to a folder, as it is about to be made: where to kill it, fail it, or look at the disk."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Reached = Callable[[int, str, Any], None]
"""Called with the number of the call, from 1, its name, and the path or file descriptor."""
CHANGES = {
    "os.rename": (1, 3),
    "os.remove": (0, 1),
    "os.rmdir": (0, 1),
    "os.mkdir": (0, 2),
    "os.link": (1, 3),
    "os.symlink": (1, 2),
}
"""Audit events of Python; which argument is the path that changes, and which the open folder that it is relative to."""


def watch(root: Path, reached: Reached) -> None:
    """Hear of every change below `root` from here on, in this process only: it cannot be undone.

    What libraries write on their own (safetensors, libsndfile) is not heard call by call; `mer` puts all of it on the device
    by calls that are.
    """
    place, count = str(root.resolve()), 0

    def call(name: str, where: Any) -> None:
        nonlocal count
        count += 1
        reached(count, name, where)

    def inside(path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return str(Path(os.fsdecode(path)).absolute()).startswith(place)

    def hear(event: str, arguments: Any) -> None:
        if event in CHANGES:
            path, folder = (arguments[place] for place in CHANGES[event])
            if isinstance(folder, int) and folder >= 0:  # shutil.rmtree works so
                path = Path(_path(folder)) / os.fsdecode(path)
            if inside(path):
                call(event, path)
        elif event == "open" and inside(arguments[0]) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            call("open", arguments[0])

    write, fsync = os.write, os.fsync

    def heard_write(descriptor: int, block: Any) -> int:
        if inside(_path(descriptor)):
            half = len(block) // 2
            call("write", descriptor)
            done = write(descriptor, block[:half]) if half else 0
            call("half-written", descriptor)
            return done + write(descriptor, block[done:])
        return write(descriptor, block)

    def heard_fsync(descriptor: int) -> None:
        path = _path(descriptor)
        fsync(descriptor)
        if inside(path):
            call("synced", path)

    os.write, os.fsync = heard_write, heard_fsync  # type: ignore[assignment]
    sys.addaudithook(hear)


def count_calls(into: Path) -> Reached:
    """Keep the number of calls in a file."""

    def reached(number: int, name: str, where: Any) -> None:
        descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.pwrite(descriptor, str(number).encode(), 0)
        os.close(descriptor)

    return reached


def kill_at(wanted: int) -> Reached:
    """Kill this process at a call."""

    def reached(number: int, name: str, where: Any) -> None:
        if number == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def full_from(wanted: int) -> Reached:
    """From a call on the disk takes nothing more; removing is possible."""

    def reached(number: int, name: str, where: Any) -> None:
        if number >= wanted and name in ("open", "write", "half-written", "os.mkdir", "os.link", "synced"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), None if isinstance(where, int) else os.fsdecode(where))

    return reached


def _path(descriptor: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return ""
