"""Commands of mer in children of one warm process: a kill costs what the command does, and no imports."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 120.0
"""Seconds after which a command counts as hanging."""
PAUSED = 0.5
"""Seconds between two looks above which this process itself was stopped."""
WARM = (
    *("mer.cli", "mer.extract", "mer.heads", "mer.finetune.run", "mer.finetune.meter", "mer.predict", "mer.report"),
    *("mer.report.figures", "mer.report.page", "mer.report.figure_set", "mer.grids.run_grid", "mer.corpus.aligner"),
    *("mer.corpus.synthetic", "mer.results.combination", "matplotlib.pyplot", "soxr", "sklearn.metrics"),
    *("transformers.models.wav2vec2.modeling_wav2vec2", "transformers.models.bert.modeling_bert"),
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; negative for the signal that ended it."""
    out: str
    """Standard output."""
    err: str
    """Standard error."""
    hung: bool = False
    """Whether it had to be ended."""

    @property
    def traceback(self) -> bool:
        """Whether somebody saw one."""
        return "Traceback (most recent call last)" in self.err + self.out or "Traceback" in self.err


def nothing() -> None:
    """What is done by default."""


def warm_up() -> None:
    """Import what commands import; nothing is computed, for threads do not survive a fork."""
    import importlib

    from mer.commands.command_group import NAMES, load

    for name in WARM:
        importlib.import_module(name)
    for command in NAMES:
        load(command)


def run(
    arguments: Sequence[str],
    scratch: Path,
    prepare: Callable[[], object] = nothing,
    *,
    after: Callable[[], object] = nothing,
    kill_after: float | None = None,
    limit: float = LIMIT,
) -> Ended:
    """Give a command and wait for its end.

    Args:
        arguments: without `mer`.
        scratch: folder for what it prints.
        prepare: called in the child before.
        after: called in the child when the command is through.
        kill_after: seconds after which it is killed; None for never.
        limit: seconds after which it hangs.
    """
    return wait(start(arguments, scratch, prepare, after=after), scratch, kill_after=kill_after, limit=limit)


def start(
    arguments: Sequence[str],
    scratch: Path,
    prepare: Callable[[], object] = nothing,
    name: str = "said",
    *,
    after: Callable[[], object] = nothing,
) -> int:
    """Process number of a child that gives a command."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        for descriptor, ending in ((1, "out"), (2, "err")):
            file = os.open(scratch / f"{name}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, descriptor)
            os.close(file)
        sys.argv = ["mer", *arguments]
        prepare()
        from mer.cli import app

        app(list(arguments))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            after()
        finally:
            os._exit(code)


def wait(child: int, scratch: Path, name: str = "said", *, kill_after: float | None = None, limit: float = LIMIT) -> Ended:
    """How a child ended; it and all it started are killed when it takes too long."""
    last, passed = time.monotonic(), 0.0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        # All may have been paused meanwhile, as a machine that sleeps: that is no hang.
        now = time.monotonic()
        last, passed = now, passed + min(now - last, PAUSED)
        if passed > (limit if kill_after is None else kill_after):
            with suppress(ProcessLookupError):  # it has no group of its own yet
                os.killpg(child, signal.SIGKILL)
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            hung = kill_after is None or passed > limit
            return Ended(code=-signal.SIGKILL, out=_read(scratch, f"{name}.out"), err=_read(scratch, f"{name}.err"), hung=hung)
        time.sleep(0.001)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return Ended(code=code, out=_read(scratch, f"{name}.out"), err=_read(scratch, f"{name}.err"))


def asked(function: Callable[[], Any], scratch: Path, limit: float = LIMIT) -> Any:
    """What a function gives, as JSON, called in a child; raises ChildError when that ends otherwise."""
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            (scratch / "asked.json").write_text(json.dumps(function()))
            os._exit(0)
        except BaseException:
            (scratch / "said.err").write_text(traceback.format_exc())
        finally:
            os._exit(1)
    ended = wait(child, scratch, limit=limit)
    if ended.hung:
        raise HangError(f"no answer in {limit:.0f} s")
    if ended.code:
        raise ChildError(ended.err or f"ended by signal {-ended.code}")
    return json.loads((scratch / "asked.json").read_text())


class HangError(BaseException):
    """What takes too long."""


class ChildError(Exception):
    """A function that failed in a child; the text is its traceback."""


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(errors="replace")
    except OSError:
        return ""
