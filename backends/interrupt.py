"""How Ctrl-C, SIGTERM and the end of a parent reach the processes of a command."""

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

AGAIN = b"ending; Ctrl-C once more leaves at once\n"
"""What a second Ctrl-C is answered with."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, where it is heard as Ctrl-C is."""

    code = 128 + signal.SIGTERM
    """Exit code of a command that it ends."""


@contextmanager
def sigterm_is_ctrl_c() -> Iterator[None]:
    """SIGTERM raises an error in the block, so that there is time to save something; only in the main thread.

    Schedulers send it some seconds before they kill.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TerminatedError

    handler = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)


@contextmanager
def ctrl_c_is_heard_once() -> Iterator[None]:
    """The first Ctrl-C in the block ends it; a second one is answered, and breaks nothing off; a third leaves at once.

    A second one would otherwise end whatever is being put away with a traceback, also after the block, where the interpreter
    waits for its threads: it stays deaf then. Only in the main thread, and only where nobody else listens.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    presses = 0

    def press(number: int, frame: object) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            raise KeyboardInterrupt
        if presses > 2:
            os._exit(128 + number)  # files are whole at any moment, and workers end with their parent
        os.write(2, AGAIN)  # print may be what was interrupted

    def stay_deaf() -> None:
        if presses:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    signal.signal(signal.SIGINT, press)
    # Before what the block imports registers its own, so that it is the last: the interpreter then takes handlers back.
    atexit.register(stay_deaf)
    try:
        yield
    finally:
        if not presses:
            atexit.unregister(stay_deaf)
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C takes effect at the end of the block; in a thread that is not the main one nothing changes.

    SIGTERM waits, too, where it is heard as Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(number))]
    handlers: dict[int, Any] = {number: signal.signal(number, lambda number, frame: pressed.append(number)) for number in heard}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
    for caught in sorted(pressed, reverse=True):  # SIGTERM says more
        handlers[caught](caught, None)


@contextmanager
def never_heard_by_children() -> Iterator[None]:
    """Processes that are started in the block never hear Ctrl-C.

    Otherwise one that still imports would die with a traceback, or be cut off from a parent that has half started it.
    Children inherit the mask; the parent's other threads still take the signal.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it, as the first spawn would, ends with the signal unblocked
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def end_with_parent() -> None:
    """Leave as soon as the parent is gone, however it ended: an orphan would go on using the machine."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
