"""Results to standard output, messages to standard error, refusals to exit code 2."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mer.report import Bar
    from mer.results import Result

Look = TypeVar("Look")
GO_ON = "give the same command again to go on from there"
SECONDS_TO_SPEAK = 3.0
"""How long the other processes wait with an error that all of them have."""


def print_result(data: Mapping[str, Any], shown: "RenderableType", as_json: bool) -> None:
    """Results to standard output: tables for people, or one JSON object."""
    if as_json:
        print(json.dumps(data, indent=1, default=str))
        return
    from mer.files.screen import screen

    screen().print(shown)


def is_terminal() -> bool:
    """Whether somebody watches standard output."""
    from mer.files.screen import screen

    return screen().is_terminal


def looks(look: Callable[[], Look], seconds: float, over: Callable[[], bool] = lambda: False) -> Iterator[Look]:
    """One look after the other, so many seconds apart, until it was over before one of them."""
    while True:
        last = over()
        yield look()
        if last:
            return
        time.sleep(seconds)


def show_live(pictures: "Iterable[RenderableType]") -> None:
    """Each picture in place of the one before it."""
    from rich.live import Live

    from mer.files.screen import screen

    with Live(console=screen(), auto_refresh=False) as live:
        for picture in pictures:
            live.update(picture, refresh=True)


def say(message: str, quiet: bool) -> None:
    """A message to standard error."""
    if not quiet:
        _tell(message)


def even_untracked(train: "Callable[[], Result]") -> "tuple[Result, bool]":
    """A result, and whether its tracker failed after it was written, which is said here."""
    from mer.tracking.errors import TrackingError

    try:
        return train(), False
    except TrackingError as problem:
        if problem.result is None:
            raise
        _tell(f"error: {problem}")
        return problem.result, True


def progress_bar(title: str, quiet: bool) -> "Bar":
    """A progress bar on standard error."""
    from mer.report import Bar

    return Bar(title, quiet=quiet)


@contextmanager
def clear_errors(interrupted: str = f"what is finished is kept; {GO_ON}", *, process: int = 0) -> Iterator[None]:
    """Turn what mer refuses into one message and exit code 2; anything else is a bug and keeps its traceback.

    Args:
        interrupted: What Ctrl-C leaves behind and how to go on, said in its message.
        process: Number of this process among several that do the same: all but 0 say only what they alone know, which is
            an error with a note.
    """
    from mer.backends.interrupt import ctrl_c_is_heard_once

    try:
        with ctrl_c_is_heard_once():
            yield
    except KeyboardInterrupt as stop:
        if not process:
            _tell(f"interrupted: {interrupted}")
        raise typer.Exit(getattr(stop, "code", 130)) from None
    except BrokenPipeError:
        raise  # `| head` has seen enough: typer ends without a word
    except Exception as problem:
        if not (isinstance(problem, OSError) or type(problem).__module__.startswith("mer.")):
            raise
        from mer.commands.given_elsewhere import explanation
        from mer.files.refusals import explained

        said = explained(problem) if isinstance(problem, OSError) else str(problem)
        said += explanation(said)
        if not process or getattr(problem, "__notes__", None):
            _tell(f"error{f' in process {process}' if process else ''}: {said}")
        else:
            # A launcher kills the others when one ends: let process 0 say it first.
            time.sleep(SECONDS_TO_SPEAK)
        raise typer.Exit(2) from None


def _tell(message: str) -> None:
    """One message on standard error."""
    from mer.files.shown_text import shown

    print(shown(message), file=sys.stderr)
