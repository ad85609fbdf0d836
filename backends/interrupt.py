"""How Ctrl-C, SIGTERM and the end of a parent reach the processes of a command."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


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
def ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C takes effect at the end of the block; in a thread that is not the main one nothing changes.

    SIGTERM waits, too, where it is heard as Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(number))]
    handlers = {number: signal.signal(number, lambda number, frame: pressed.append(number)) for number in heard}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
    if pressed:
        raise TerminatedError if signal.SIGTERM in pressed else KeyboardInterrupt


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
