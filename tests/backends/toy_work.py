"""A work whose artefacts are small files, and whose workers do at every try what the task says.

Every try leaves a file that says who made it, before anything else happens: tests follow these files and events.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from mer.backends import BackendError, Slot, Task, TaskDone, TaskFailed

Tell = Callable[[object], None]
PATIENCE = 60.0


class OutOfMemoryError(RuntimeError):
    """Known by its name, as torch's."""


class ModelError(ValueError):
    """What the work's own room raises."""


class TwoArgumentError(Exception):
    """Cannot be made again from what pickle keeps."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class ChangingError(Exception):
    """Says something else when it is made again from what pickle keeps."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no {name}")


@dataclass(frozen=True)
class Begun:
    """The work's own event."""

    name: str
    pid: int
    share: float
    slot: int


def task(name: str, *tries: str, cost: float = 1.0) -> Task:
    """A task that behaves at every try as said; the last behaviour is repeated, none is `commit`."""
    return Task(name=name, cost=cost, content=tries or ("commit",))


@dataclass(frozen=True)
class ToyWork:
    folder: Path
    opening: str = "open"

    def is_done(self, task: Task) -> bool:
        return (self.folder / "done" / task.name).exists()

    @contextmanager
    def open(self, slot: Slot) -> Iterator["ToyWorker"]:
        if self.opening == "refuse":
            raise BackendError("node has torch 2.10")
        if self.opening == "error":
            raise ModelError("no such model")
        if self.opening == "odd error":
            raise TwoArgumentError("this", "that")
        if self.opening == "changing error":
            raise ChangingError("model")
        if self.opening == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            yield ToyWorker(self.folder, slot)
        finally:
            (self.folder / f"closed-{slot.number}").touch()
        if self.opening == "close with error":
            raise ModelError("cannot close")


class ToyWorker:
    def __init__(self, folder: Path, slot: Slot) -> None:
        self.folder, self.slot = folder, slot
        self.held: list[Task] = []

    def do(self, task: Task, *, share: float, tell: Tell) -> None:
        number = self._begin(task, share, tell)
        action = task.content[min(number, len(task.content) - 1)]
        match action:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                raise SystemExit(3)
            case "memory":
                raise MemoryError("cannot have 7 GB")
            case "cuda memory":
                raise OutOfMemoryError("tried to allocate 7 GB")
            case "disk":
                raise OSError(28, "No space left on device")
            case "bug":
                raise KeyError("bug")
            case "refuse":
                raise BackendError("not the same models")
            case "late":
                tell(TaskFailed(name=task.name, reason="the commit failed", tries=1))
                return
            case "forget":
                return
            case "at finish":
                self.held.append(task)
                return
            case "quietly":
                self.commit(task)
                return
            case "kill after commit":
                self.commit(task)
                os.kill(os.getpid(), signal.SIGKILL)
            case "wait":
                self._wait(self.folder / "go")
            case waiting if waiting.startswith("after "):
                self._wait(self.folder / "done" / waiting.removeprefix("after "))
            case other:
                assert other == "commit", other
        self.commit(task)
        tell(TaskDone(name=task.name))

    def finish(self) -> None:
        (self.folder / f"finished-{self.slot.number}").touch()
        (self.folder / f"held-{len(self.held)}").touch()
        for task in self.held:
            self.commit(task)
        self.held = []

    def commit(self, task: Task) -> None:
        (self.folder / "committed").mkdir(exist_ok=True)
        (self.folder / "committed" / f"{task.name}.{uuid4().hex}").touch()
        temporary = self.folder / uuid4().hex
        temporary.write_bytes(artefact(task.name))
        (self.folder / "done").mkdir(exist_ok=True)
        temporary.replace(self.folder / "done" / task.name)

    def _begin(self, task: Task, share: float, tell: Tell) -> int:
        (self.folder / "begun").mkdir(exist_ok=True)
        threads = os.environ.get("OMP_NUM_THREADS", "")
        record = {"pid": os.getpid(), "share": share, "slot": self.slot.number, "device": self.slot.device, "threads": threads}
        record |= {
            "ctrl-c ignored": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            "ctrl-c blocked": signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []),
        }
        number = 0
        while True:
            try:
                with (self.folder / "begun" / f"{task.name}.{number}").open("x") as file:
                    json.dump(record, file)
                break
            except FileExistsError:
                number += 1
        tell(Begun(task.name, os.getpid(), share, self.slot.number))
        return number

    @staticmethod
    def _wait(file: Path) -> None:
        wait_until(file.exists)


def wait_until(seen: Callable[[], bool]) -> None:
    """Follow what happens, for a minute at most."""
    deadline = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def artefact(name: str) -> bytes:
    return f"artefact of {name}".encode() * 100


def tries(folder: Path, name: str) -> list[dict[str, Any]]:
    """What the tries of a task left, in their order."""
    files = sorted((folder / "begun").glob(f"{name}.*"), key=lambda path: int(path.suffix[1:]))
    return [json.loads(file.read_text()) for file in files]


def check_whole(folder: Path, names: set[str]) -> None:
    """Nothing lost, nothing foreign, nothing torn."""
    assert {path.name: path.read_bytes() for path in (folder / "done").iterdir()} == {name: artefact(name) for name in names}


def commits(folder: Path, name: str) -> int:
    return len(list((folder / "committed").glob(f"{name}.*")))
