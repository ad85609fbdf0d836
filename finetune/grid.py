"""Grids of fine-tuned rows, such as the tables of Sun 2023."""

from collections.abc import Callable

from mer.corpus import Corpus
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import DivergedError, FinetuneError
from mer.finetune.processes import make_accelerator
from mer.finetune.progress import FinetuneEvent
from mer.finetune.run import Storage, finetune, row_name
from mer.finetune.tracking import check_tracking
from mer.heads.errors import HeadError
from mer.heads.grid import Grid, GridRow
from mer.heads.grid_kind import FINETUNE, GridKind
from mer.heads.grid_options import GridOptions
from mer.heads.grid_record import GridOrigin
from mer.heads.grid_runner import GridEvent, GridResult, GridStarted, run_rows
from mer.heads.train_head import Result
from mer.protocol import ProtocolError, session_names

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
    tell(GridStarted(costs=tuple(_cost(row.configs[0], corpus) for row in grid.rows)))

    def train(row: GridRow[FinetuneConfig]) -> Result:
        return finetune(corpus, row.configs[0], storage, progress=tell, command=command)

    origin = GridOrigin(
        corpus=corpus.name,
        synthetic=corpus.synthetic,
        key=None,
        ids=tuple(utterance.id for utterance in corpus),
        labels=tuple(utterance.label for utterance in corpus),
    )
    alone = accelerator.num_processes == 1
    recorded = (FinetuneError if alone else DivergedError, HeadError, ProtocolError)
    return run_rows(grid, origin, storage.runs, train, tell=tell, recorded=recorded, writes=accelerator.is_main_process)


def _cost(config: FinetuneConfig, corpus: Corpus) -> float:
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
