"""A backend for tests, and what grids leave on disk."""

from collections.abc import Callable, Iterable
from pathlib import Path

from mer.backends import Slot, Task, TaskFailed, Work


class InTurn:
    """Does tasks one after the other here; some of them twice, and some never."""

    def __init__(
        self,
        *,
        twice: bool = False,
        share: float = 1.0,
        fails: Callable[[Task], bool] = lambda task: False,
        stop_after: int = 99,
    ) -> None:
        self.twice, self.share, self.fails, self.stop_after = twice, share, fails, stop_after
        self.done: list[str] = []

    def run(self, work: Work, tasks: Iterable[Task], *, tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
        failures: list[TaskFailed] = []

        def hear(event: object) -> None:
            if isinstance(event, TaskFailed):
                failures.append(event)
            tell(event)

        with work.open(Slot(number=0, device="cpu", threads=1)) as worker:
            for task in tasks:
                if self.fails(task):
                    hear(TaskFailed(name=task.name, reason="killed twice on node7", tries=2))
                    continue
                for _ in range(1 + self.twice):
                    worker.do(task, share=self.share, tell=hear)
                self.done.append(task.name)
                if len(self.done) == self.stop_after:
                    raise KeyboardInterrupt
        return tuple(failures)


def contents(runs: Path) -> dict[str, bytes]:
    """Every file that holds no times, and no record of starts."""
    names = {"provenance.json", "result.json"}
    files = [file for file in sorted(runs.rglob("*")) if file.is_file() and file.name not in names]
    return {str(file.relative_to(runs)): file.read_bytes() for file in files}
