"""Shares of the tasks as a Slurm job array, through submitit; jobs go on when their launcher ends."""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Literal
from uuid import uuid4

from mer.backends.array_watch import ArrayWatch
from mer.backends.array_worker import ArrayWorker, read_tasks, write_task
from mer.backends.look_ahead import LookAhead
from mer.backends.share import dealt
from mer.backends.work import BackendError, Slot, Task, TaskFailed, Work

REQUEUES = 1000  # after running out of time; every one of them has made progress
DEFAULT_MINUTES = 24 * 60
GPU_PARAMETERS = {"gpus_per_node", "gpus_per_task", "gres"}
LISTS = {"setup", "teardown", "srun_args"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SlurmBackend:
    """A job array of workers; needs a folder that every node sees."""

    workers: int
    """How many the array has."""
    folder: Path
    """For logs and for what the workers read; on the shared file system."""
    device: str = "cpu"
    """`cpu` or `cuda`: with `cuda` a worker asks for one GPU unless `parameters` say otherwise."""
    threads: int = 1
    """CPU threads of a worker, and the cores that it asks for."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """For sbatch, by submitit's names: partition, time, mem, account, qos, gpus_per_node, setup, ..."""
    cluster: Literal["slurm", "local"] = "slurm"
    """`local`: submitit's processes on this machine, for trying it out."""
    poll_seconds: float = 5.0
    """Between two looks at what the workers have committed."""

    def run(self, work: Work, tasks: Iterable[Task], *, tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
        """Do the tasks; see `Backend.run`. Ctrl-C ends only the watching."""
        folder = self.folder.resolve() / time.strftime(f"%Y%m%d-%H%M%S-{uuid4().hex[:6]}")
        executor = self._executor(folder / "%j")
        shares = self._write_shares(work, tasks, folder, tell)
        with (folder / "tasks-again.pickle").open("wb") if shares else nullcontext() as again:
            failed = self._run_array(executor, work, shares, folder, tell, again)
        if again is None or not Path(again.name).stat().st_size:
            return failed
        shares = self._write_shares(work, read_tasks(Path(again.name)), folder / "again", tell)
        return failed + self._run_array(executor, work, shares, folder, tell, None)

    def _run_array(
        self,
        executor: Any,
        work: Work,
        shares: Sequence[tuple[Slot, Path]],
        folder: Path,
        tell: Callable[[object], None],
        again: BinaryIO | None,
    ) -> tuple[TaskFailed, ...]:
        if not shares:
            return ()
        watch = ArrayWatch(executor, work, folder=folder, tell=tell, again=again)
        watch.submit([ArrayWorker(work=work, tasks=path, slot=slot) for slot, path in shares])
        return watch.follow(self.poll_seconds)

    def _executor(self, folder: Path) -> Any:
        if self.workers < 1 or self.threads < 1:
            raise BackendError(f"at least 1 worker and 1 thread are needed, got {self.workers} and {self.threads}")
        if find_spec("submitit") is None:
            raise BackendError('--backend slurm needs submitit: pip install "mer-fusion[slurm]"')
        import submitit

        maker = submitit.SlurmExecutor if self.cluster == "slurm" else submitit.LocalExecutor
        try:
            executor = maker(folder=folder, max_num_timeout=REQUEUES)
            executor.update_parameters(**self._all_parameters())
        except RuntimeError as error:
            raise BackendError(f"no Slurm here ({error}): run this on a login node, or leave out --backend slurm") from None
        except ValueError as error:
            raise BackendError(f"--slurm: {error}") from None
        return executor

    def _all_parameters(self) -> dict[str, Any]:
        setup = [f"export OMP_NUM_THREADS={self.threads} MKL_NUM_THREADS={self.threads} THP_MEM_ALLOC_ENABLE=1"]
        if self.cluster == "local":
            return {"timeout_min": DEFAULT_MINUTES, "setup": setup}
        given = {name: _value(name, text) for name, text in self.parameters.items()}
        gpu = {"gpus_per_node": 1} if self.device.startswith("cuda") and not GPU_PARAMETERS & set(given) else {}
        defaults: dict[str, Any] = {"job_name": "mer", "time": DEFAULT_MINUTES, "cpus_per_task": self.threads}
        return defaults | gpu | given | {"setup": setup + given.get("setup", [])}

    def _write_shares(
        self, work: Work, tasks: Iterable[Task], folder: Path, tell: Callable[[object], None]
    ) -> list[tuple[Slot, Path]]:
        """Files of tasks, about equal in cost; tasks that are done already are told to be."""
        ahead = LookAhead(work, tasks, size=1, tell=tell)
        slots = [Slot(number=number, device=self.device, threads=self.threads) for number in range(self.workers)]
        paths = [folder / f"tasks-{slot.number}.pickle" for slot in slots]
        if not ahead.fill():
            return []
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in paths]
            for number, task in dealt(iter(ahead.take, None), self.workers):
                write_task(files[number], task)
        return [(slot, path) for slot, path in zip(slots, paths, strict=True) if path.stat().st_size]


def _value(name: str, text: str) -> Any:
    """A parameter as submitit takes it: minutes for `time`, lists of one command, numbers, true and false."""
    if name == "time":
        return _minutes(text)
    if name in LISTS:
        return [text]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if text.isdecimal() else text


def _minutes(text: str) -> int:
    """Minutes from one of sbatch's ways to write a time limit (`man sbatch`, --time), rounded up.

    Raises:
        BackendError: another way.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if found is None:
        raise BackendError(f"--slurm time={text}: give minutes, HH:MM:SS or DAYS-HH:MM:SS")
    days, *rest = found.groups()
    numbers = [int(number) for number in rest if number is not None]
    if days is not None:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:  # minutes[:seconds]
        hours, minutes, seconds = 0, *(*numbers, 0)[:2]
    return (int(days or 0) * 24 + hours) * 60 + minutes + (seconds > 0)
