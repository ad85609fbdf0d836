"""Grids of fine-tuned rows, such as the tables of Sun 2023."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mer.backends import Unit, UnitDone
from mer.backends.agreement import versions
from mer.backends.backend import Backend
from mer.corpus import Corpus
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import DivergedError, FinetuneError
from mer.finetune.processes import make_accelerator
from mer.finetune.progress import FinetuneEvent
from mer.finetune.row_work import RowWork, answer_file, read_answer
from mer.finetune.run import Storage, finetune, row_name
from mer.finetune.tracking import check_tracking
from mer.heads.errors import HeadError
from mer.heads.grid import Grid, GridRow
from mer.heads.grid_kind import FINETUNE, GridKind
from mer.heads.grid_options import GridOptions
from mer.heads.grid_record import GridOrigin
from mer.heads.grid_runner import run_rows
from mer.heads.grid_table import GridEvent, GridResult, GridStarted, GridTable
from mer.protocol import ProtocolError, session_names
from mer.results import Result
from mer.results.errors import ResultError

FINETUNE_GRIDS = GridKind(
    name=FINETUNE,
    options=GridOptions(config=FinetuneConfig),
    make=FinetuneConfig,
    name_of=lambda configs: row_name(configs[0]),
    shape=frozenset({"modality", "fusion", "fusion_layers", "aux"}),
)
"""Grids of models that are trained end to end."""

COSTS = {"text": 0.1, "speech": 1.0, "both": 1.1}
"""Work of a run by modality, to tell the time left: texts are short beside audio."""

Tell = Callable[[GridEvent | FinetuneEvent], None]


def run_finetune_grid(
    corpus: Corpus, grid: Grid[FinetuneConfig], storage: Storage, *, progress: Tell | None = None, command: str | None = None
) -> GridResult[FinetuneConfig]:
    """Fine-tune every row of `grid`, and write `runs/<corpus>-<grid>-<digest>/grid.json` after each.

    Rows are results like any other, resumed and reused as `finetune` does it. A row that cannot be trained is recorded
    with its reason, and the others go on; on several processes only where all of them know it.

    Args:
        corpus: utterances with their labels.
        grid: the table.
        storage: where results go, and what is kept.
        progress: called with what happens, in the first process.
        command: the command line, for each row's `provenance.json`.

    Raises:
        FinetuneError: a session, device or tracker that a row needs and that is not there; before anything is trained.
    """
    _check(corpus, grid)
    accelerator = make_accelerator(grid.rows[0].configs[0])
    tell = progress if progress is not None and accelerator.is_main_process else lambda event: None
    tell(GridStarted(costs=tuple(row_cost(row.configs[0], corpus) for row in grid.rows)))

    def train(row: GridRow[FinetuneConfig]) -> Result:
        return finetune(corpus, row.configs[0], storage, progress=tell, command=command)

    alone = accelerator.num_processes == 1
    recorded = (FinetuneError if alone else DivergedError, HeadError, ProtocolError, ResultError)
    table = GridTable(grid, origin_of(corpus), storage.runs, tell=tell, recorded=recorded, writes=accelerator.is_main_process)
    return run_rows(table, train, tell=tell)


def launch_finetune_grid(
    corpus: Corpus,
    grid: Grid[FinetuneConfig],
    storage: Storage,
    *,
    backend: Backend,
    own: Callable[[Sequence[Unit]], Iterable[Unit]] = lambda units: units,
    progress: Callable[[object], None] = lambda event: None,
    command: str | None = None,
) -> GridResult[FinetuneConfig]:
    """Fine-tune the rows of `grid` on `backend`, each on one device; the table fills as rows end.

    Args:
        corpus: utterances with their labels.
        grid: the table.
        storage: where results go, and what is kept; every worker reaches it by this path.
        backend: where rows are trained.
        own: which of all rows are this command's; the others stay open until they are over, too.
        progress: called with what happens.
        command: the command line, for each row's `provenance.json`.

    Raises:
        FinetuneError: a session or tracker that a row needs and that is not there; before anything is trained.
        BackendError: workers that cannot be had, or that do not agree with this process.
    """
    _check(corpus, grid)
    recorded = (FinetuneError, HeadError, ProtocolError, ResultError)
    table = GridTable(grid, origin_of(corpus), storage.runs, tell=progress, recorded=recorded)
    answers = table.directory / "rows"
    answers.mkdir(exist_ok=True)
    held = replace(corpus, utterances=tuple(corpus))  # a large manifest's are read when asked for, and stay here
    work = RowWork(corpus=held, storage=storage, answers=answers, command=command, versions=versions())
    units = {f"row{number}": row.configs[0] for number, row in enumerate(grid.rows, 1)}
    listed = [Unit(name=name, cost=row_cost(config, corpus), content=config) for name, config in units.items()]
    mine = list(own(sorted(listed, key=lambda unit: (-unit.cost, unit.name))))
    for unit in mine:
        answer_file(answers, unit.name).unlink(missing_ok=True)  # a row that has a result is found again at once
    numbers = {name: number for number, name in enumerate(units, 1)}

    def hear(event: object) -> None:
        progress(event)
        if isinstance(event, UnitDone):
            table.fill(numbers[event.name], partial(_read, answers, event.name, storage.runs))

    failed = {failure.name: failure.reason for failure in backend.run(work, mine, tell=hear)}
    for name in units:
        if name in failed:
            table.fill(numbers[name], partial(_refuse, failed[name]))
        elif name not in {unit.name for unit in mine} and answer_file(answers, name).exists():
            table.fill(numbers[name], partial(_read, answers, name, storage.runs))
    return table.compare()


def _read(answers: Path, name: str, runs: Path, row: GridRow[FinetuneConfig]) -> Result:
    return read_answer(answers, name, runs)


def _refuse(reason: str, row: GridRow[FinetuneConfig]) -> Result:
    raise FinetuneError(reason)


def origin_of(corpus: Corpus) -> GridOrigin:
    """What the rows of a grid are fine-tuned on."""
    return GridOrigin(
        corpus=corpus.name,
        synthetic=corpus.synthetic,
        key=None,
        ids=tuple(utterance.id for utterance in corpus),
        labels=tuple(utterance.label for utterance in corpus),
    )


def row_cost(config: FinetuneConfig, corpus: Corpus) -> float:
    """Work of a row; only ratios mean anything."""
    folds = config.folds or session_names([utterance.session for utterance in corpus])
    return COSTS[config.modality] * config.epochs * len(folds) * len(config.seeds)


def _check(corpus: Corpus, grid: Grid[FinetuneConfig]) -> None:
    """Refuse what needs no encoder to be seen, for all rows at once."""
    configs = [row.configs[0] for row in grid.rows]
    if len({(config.device, config.precision) for config in configs}) > 1:
        raise FinetuneError("device and precision must be those of all rows; set them under [defaults]")
    available = session_names([utterance.session for utterance in corpus])
    unknown = dict.fromkeys(fold for config in configs for fold in config.folds or () if fold not in available)
    if unknown:
        raise FinetuneError(
            f"the corpus has no session {', '.join(unknown)} to test on, only {', '.join(available)}: leave it out of folds"
        )
    for config in configs:
        check_tracking(config.track)
