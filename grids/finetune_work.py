"""Fine-tuning of whole rows of a grid on any backend: one row is one process on one device."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from mer.backends import Slot, Task, TaskDone
from mer.backends.agreement import check_same, versions
from mer.corpus import Corpus
from mer.files import write_file
from mer.files.regular_file import read_text_file
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.events import FinetuneEvent
from mer.finetune.run import Storage, finetune
from mer.grids.grid_events import NothingToTrain, TaskEvent
from mer.heads.errors import HeadError, UnfinishedError
from mer.protocol import ProtocolError
from mer.results import Result
from mer.results.errors import ResultError
from mer.results.run_files import read_result
from mer.tracking.errors import TrackingError

FINETUNE_ERRORS = (FinetuneError, HeadError, ProtocolError, ResultError)
"""Errors that are a row's own; the others go on."""


@runtime_checkable
class Answers(Protocol):
    """What became of rows."""

    def keep(self, row: str, outcome: Result | Exception) -> None:
        """A row is over."""
        ...

    def has(self, row: str) -> bool:
        """Whether a row is over."""
        ...

    def read(self, row: str) -> Result:
        """The result of a row.

        Raises:
            UnfinishedError: it is not over.
            Exception: why it failed.
        """
        ...

    def forget(self, row: str) -> None:
        """Forget the answer of an earlier command; a row that has a result is found again at once."""
        ...


@dataclass
class AnswersHere:
    """In memory: of several processes that train every row together, another could read a file before it is written."""

    found: dict[str, Result | Exception] = field(default_factory=dict)
    """By the name of the row."""

    def keep(self, row: str, outcome: Result | Exception) -> None:
        """A row is over."""
        self.found[row] = outcome

    def has(self, row: str) -> bool:
        """Whether a row is over."""
        return row in self.found

    def read(self, row: str) -> Result:
        """The result of a row, or what was raised instead."""
        outcome = self.found[row]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def forget(self, row: str) -> None:
        """There is nothing of an earlier command."""


@dataclass(frozen=True, kw_only=True)
class AnswerFiles:
    """One file per row that is over, which launcher and workers read and write."""

    folder: Path
    """Where the files are."""
    runs: Path
    """Folder of run directories."""

    def keep(self, row: str, outcome: Result | Exception) -> None:
        """Write the name of the run directory, or why the row failed."""
        answer: dict[str, object]
        if isinstance(outcome, Exception):
            answer = {"failure": str(outcome)}
        else:
            answer = {"directory": outcome.directory.name, "reused": outcome.reused}
        write_file(self._file(row), json.dumps(answer).encode())

    def has(self, row: str) -> bool:
        """Whether a row is over."""
        return self._file(row).exists()

    def read(self, row: str) -> Result:
        """The result of a row, or a FinetuneError with the reason why there is none."""
        try:
            answer = json.loads(read_text_file(self._file(row)))
        except FileNotFoundError:
            raise UnfinishedError("the row is not trained") from None
        if "failure" in answer:
            raise FinetuneError(answer["failure"])
        directory = self.runs / answer["directory"]
        values = read_result(directory)
        return Result(directory=directory, values=values, reused=answer["reused"])

    def forget(self, row: str) -> None:
        """Take the answer of an earlier command away."""
        self._file(row).unlink(missing_ok=True)

    def _file(self, row: str) -> Path:
        return self.folder / f"{row}.json"


@dataclass(frozen=True, kw_only=True)
class FinetuneWork:
    """All that a worker needs to fine-tune rows of one grid."""

    corpus: Corpus
    """What is trained on."""
    storage: Storage
    """Where results go, and what is kept."""
    answers: Answers
    """What became of rows."""
    command: str | None
    """The command line, for the provenance."""
    versions: Mapping[str, str]
    """Versions of what the launcher runs with."""
    here: bool = False
    """Whether the only worker is the launcher: rows are trained on their own device."""
    recorded: tuple[type[Exception], ...] = FINETUNE_ERRORS
    """Errors that are a row's own; any other is the backend's matter."""

    @contextmanager
    def open(self, slot: Slot) -> Iterator["FinetuneWorker"]:
        """Nothing is shared by rows: encoders change while they train.

        Raises:
            BackendError: other versions of what can change a number.
        """
        check_same(self.versions, versions())
        yield FinetuneWorker(self, None if self.here else slot.device)

    def is_done(self, task: Task) -> bool:
        """Whether the row has a result, or has failed in this launch."""
        return self.answers.has(task.name)


class FinetuneWorker:
    """Fine-tunes rows one after the other."""

    def __init__(self, work: FinetuneWork, device: str | None) -> None:
        """Nothing is loaded yet; without a device each row is trained on its own."""
        self._work, self._device = work, device

    def do(self, task: Task, *, share: float, tell: Callable[[object], None]) -> None:
        """Train what is not finished of a row; `share` changes nothing, because the size of a pass can be part of the result."""
        config: FinetuneConfig = task.content
        outcome: Result | Exception
        begun = False

        def progress(event: FinetuneEvent) -> None:
            nonlocal begun
            begun = True
            tell(TaskEvent(task=task.name, event=event))

        try:
            outcome = finetune(
                self._work.corpus,
                config if self._device is None else replace(config, device=self._device),
                self._work.storage,
                progress=progress,
                command=self._work.command,
            )
        except self._work.recorded as problem:
            outcome = problem
        except TrackingError as problem:
            if problem.result is None:
                raise
            outcome = problem.result  # whoever fills the table tries once more, and says what fails
        self._work.answers.keep(task.name, outcome)
        if not begun:
            tell(NothingToTrain(task=task.name))
        tell(TaskDone(name=task.name))

    def finish(self) -> None:
        """Rows are on disk when they are done."""
