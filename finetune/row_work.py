"""Fine-tuning of whole rows of a grid on any backend: one row is one process on one device."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mer.backends import Slot, Unit, UnitDone
from mer.backends.agreement import check_same, versions
from mer.corpus import Corpus
from mer.files import write_file
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.progress import FinetuneEvent
from mer.finetune.run import Storage, finetune
from mer.heads.errors import HeadError
from mer.protocol import ProtocolError
from mer.results import Result
from mer.results.errors import ResultError
from mer.results.run_files import read_result


@dataclass(frozen=True, kw_only=True)
class RowEvent:
    """What the training of a row tells."""

    unit: str
    """Name of the row's unit."""
    event: FinetuneEvent
    """What happened."""


@dataclass(frozen=True, kw_only=True)
class RowWork:
    """All that a worker needs to fine-tune rows of one grid."""

    corpus: Corpus
    """What is trained on."""
    storage: Storage
    """Where results go, and what is kept."""
    answers: Path
    """Folder with one file per row that is over: the name of its run directory, or why it failed."""
    command: str | None
    """The command line, for the provenance."""
    versions: Mapping[str, str]
    """Of what the launcher runs with."""

    @contextmanager
    def open(self, slot: Slot) -> Iterator["RowWorker"]:
        """Nothing is shared by rows: encoders change while they train.

        Raises:
            BackendError: other versions of what can change a number.
        """
        check_same(self.versions, versions())
        yield RowWorker(self, slot.device)

    def is_done(self, unit: Unit) -> bool:
        """Whether the row has a result, or has failed in this launch."""
        return answer_file(self.answers, unit.name).exists()


class RowWorker:
    """Fine-tunes rows one after the other."""

    def __init__(self, work: RowWork, device: str) -> None:
        """Nothing is loaded yet."""
        self._work, self._device = work, device

    def do(self, unit: Unit, *, share: float, tell: Callable[[object], None]) -> None:
        """Train what is not finished of a row; `share` changes nothing, because the size of a pass can be part of the result."""
        config: FinetuneConfig = replace(unit.content, device=self._device)
        try:
            result = finetune(
                self._work.corpus,
                config,
                self._work.storage,
                progress=lambda event: tell(RowEvent(unit=unit.name, event=event)),
                command=self._work.command,
            )
            answer = {"directory": result.directory.name, "reused": result.reused}
        except (FinetuneError, HeadError, ProtocolError, ResultError) as problem:
            answer = {"failure": str(problem)}
        write_file(answer_file(self._work.answers, unit.name), json.dumps(answer).encode())
        tell(UnitDone(name=unit.name))

    def finish(self) -> None:
        """Rows are on disk when they are done."""


def answer_file(folder: Path, unit: str) -> Path:
    """Where a row that is over says so."""
    return folder / f"{unit}.json"


def read_answer(folder: Path, unit: str, runs: Path) -> Result:
    """The result of a row.

    Raises:
        FinetuneError: it failed.
    """
    answer = json.loads(answer_file(folder, unit).read_text(encoding="utf-8"))
    if "failure" in answer:
        raise FinetuneError(answer["failure"])
    directory = runs / answer["directory"]
    return Result(directory=directory, values=read_result(directory), reused=answer["reused"])
