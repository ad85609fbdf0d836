"""Grids of models that are trained end to end: each row is one task."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from mer.backends import Task
from mer.backends.agreement import versions
from mer.corpus import Corpus
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import DivergedError, FinetuneError
from mer.finetune.material import labelled
from mer.finetune.processes import make_accelerator
from mer.finetune.run import Storage
from mer.grids.finetune_work import FINETUNE_ERRORS, AnswerFiles, Answers, AnswersHere, FinetuneWork
from mer.grids.grid import Grid, GridRow
from mer.grids.grid_record import GridOrigin
from mer.grids.grid_table import GridTable
from mer.grids.run_grid import GridTask
from mer.heads.errors import HeadError
from mer.heads.training.planned_runs import partition_of
from mer.protocol import ProtocolError
from mer.results import Result
from mer.results.errors import ResultError
from mer.tracking.trackers import check_tracking

COSTS = {"text": 0.1, "speech": 1.0, "both": 1.1}
"""Work of a run by modality, to tell the time left: texts are short beside audio."""


class FinetuneTasks:
    """How rows are fine-tuned: by this process, or all those of one launcher together; or each by a worker of its own."""

    def __init__(self, corpus: Corpus, storage: Storage, *, command: str | None = None, elsewhere: bool = False) -> None:
        """Nothing is read yet.

        Args:
            corpus: utterances with their labels.
            storage: where results go, and what is kept; every worker reaches it by this path.
            command: the command line, for each row's `provenance.json`.
            elsewhere: whether workers of a backend train the rows, each on one device.
        """
        self.runs, self.writes, self.recorded = Path(storage.runs), True, FINETUNE_ERRORS
        # A large manifest's utterances are read when asked for, and stay here.
        self._corpus = replace(corpus, utterances=tuple(corpus))
        self._storage, self._command, self._elsewhere = storage, command, elsewhere
        self._answers: Answers = AnswersHere()

    @property
    def origin(self) -> GridOrigin:
        """The corpus."""
        return GridOrigin(
            corpus=self._corpus.name,
            synthetic=self._corpus.synthetic,
            key=None,
            ids=tuple(utterance.id for utterance in self._corpus),
            labels=tuple(utterance.label for utterance in self._corpus),
        )

    def check(self, grid: Grid[FinetuneConfig]) -> None:
        """Refuse what needs no encoder to be seen, for all rows at once; learn how many processes train together."""
        configs = [row.configs[0] for row in grid.rows]
        if len({(config.device, config.precision) for config in configs}) > 1:
            raise FinetuneError("device and dtype must be those of all rows; set them under [defaults]")
        for config in configs:
            self._folds(config)
            check_tracking(config.track)
        if self._elsewhere:
            return
        accelerator = make_accelerator(configs[0])
        self.writes = accelerator.is_main_process
        if accelerator.num_processes > 1:  # what only one of them knows would leave the others waiting
            self.recorded = (DivergedError, HeadError, ProtocolError, ResultError)

    def plan(self, table: GridTable[FinetuneConfig]) -> list[GridTask]:
        """A task for each row: in their order for this process, the largest first for several workers."""
        if self._elsewhere:
            folder = table.directory / "rows"
            folder.mkdir(exist_ok=True)
            self._answers = AnswerFiles(folder=folder, runs=self.runs)
        tasks = [self._task(number, row) for number, row in enumerate(table.grid.rows, 1)]
        return sorted(tasks, key=lambda each: (-each.task.cost, each.task.name)) if self._elsewhere else tasks

    def _task(self, number: int, row: GridRow[FinetuneConfig]) -> GridTask:
        config = row.configs[0]
        runs = len(self._folds(config)) * len(config.seeds)
        task = Task(name=f"row{number}", cost=COSTS[config.modality] * config.epochs * runs, content=config)
        return GridTask(task=task, rows=(number,), runs=runs)

    def _folds(self, config: FinetuneConfig) -> tuple[str, ...]:
        """The folds of a row; audio that cannot be read is not known yet."""
        return partition_of(labelled(self._corpus, config), config).chosen(config.folds)

    def begin(self, tasks: Collection[Task]) -> None:
        """Forget what became of them in an earlier command."""
        for task in tasks:
            self._answers.forget(task.name)

    def work(self) -> FinetuneWork:
        """Fine-tuning of rows."""
        return FinetuneWork(
            corpus=self._corpus,
            storage=self._storage,
            answers=self._answers,
            command=self._command,
            versions=versions(),
            here=not self._elsewhere,
            recorded=self.recorded,
        )

    def result(self, number: int, row: GridRow[FinetuneConfig]) -> Result:
        """What the worker of the row has answered."""
        return self._answers.read(f"row{number}")
