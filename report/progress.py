"""Progress bars on standard error, silent when nobody looks."""

import time
from collections.abc import Iterable

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from mer.files.screen import screen

PLAIN_SECONDS = 30.0
"""How often a log file (no terminal) gets a line."""


class Bar:
    """One long step: how much of a total is done, what it moves at, and when it will end.

    On a terminal a moving bar; in a log a line every half minute; nothing when quiet.

    Args:
        title: What is being done.
        quiet: Print nothing.
    """

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self._title, self._quiet = title, quiet
        self._console = screen(stderr=True)
        self._said = self._started = time.monotonic()
        self._progress = _Lines(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[detail]}", table_column=Column(no_wrap=True)),
            _Left(table_column=Column(no_wrap=True)),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=None, detail="")

    @property
    def elapsed(self) -> float:
        """Seconds since the bar was made."""
        return time.monotonic() - self._started

    def update(self, done: float, total: float, detail: str = "", below: tuple[str, ...] = ()) -> None:
        """Say how far it is; `detail` is shown as it stands, and `below` on lines of their own."""
        self._progress.below = below
        self._progress.update(self._task, completed=done, total=total or None, detail=detail)
        now = time.monotonic()
        if not self._quiet and not self._console.is_terminal and now - self._said > PLAIN_SECONDS:
            self._said = now
            self._console.print(f"{self._title}: {100 * done / total if total else 0:.0f} %  {detail}", highlight=False)
            for line in below:
                self._console.print(f"  {line}", highlight=False)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()


class _Lines(Progress):
    """A bar with lines below it."""

    below: tuple[str, ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, then the lines, each cut at the terminal's width."""
        yield from super().get_renderables()
        for line in self.below:
            yield Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis")


class _Left(ProgressColumn):
    """Time left, from the average rate so far."""

    def render(self, task: Task) -> Text:
        """`0:01:23 left`."""
        if not task.total or not task.completed or task.elapsed is None:
            return Text("")
        left = int(task.elapsed * (task.total - task.completed) / task.completed)
        return Text(f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left")
