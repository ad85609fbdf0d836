"""Whose an unfinished thing is: processes by a host and a number that mean something together."""

import os
import platform
import re
from pathlib import Path


def this_process() -> str:
    """This process, as others may ask for it later: `host~number`."""
    return f"{host()}~{os.getpid()}"


def has_ended(process: str) -> bool | None:
    """Whether a process of `this_process` is over; None where nobody here can tell."""
    where, _, number = process.partition("~")
    return not is_running(int(number)) if where == host() and number.isdecimal() else None


def host() -> str:
    """Where a process number means something: containers on one machine may share its name, but not its processes."""
    name = re.sub(r"[^A-Za-z0-9.-]", "_", platform.node())[:64] or "host"
    try:
        return f"{name}.{re.sub('[^0-9]', '', str(Path('/proc/self/ns/pid').readlink()))}"
    except OSError:  # only Linux has them
        return name


def is_running(process: int) -> bool:
    """Whether this host has a process of this number, or may have one."""
    if os.name == "nt":  # signal 0 would end the process there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
