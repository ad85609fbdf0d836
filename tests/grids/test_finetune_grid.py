"""Grids of models that are trained end to end, by this process alone and by workers of a backend."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mer.backends import BackendError, LocalBackend, Slot, Task, TaskFailed, Work, own_share
from mer.corpus import Corpus
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import DivergedError, FinetuneError
from mer.finetune.meter import FinetuneMeter
from mer.finetune.run import Storage, finetune
from mer.grids.finetune_grid import FINETUNE_GRIDS
from mer.grids.finetune_tasks import FinetuneTasks
from mer.grids.finetune_work import AnswersHere, FinetuneWork
from mer.grids.grid import Grid, GridRow
from mer.grids.grid_events import RowDone, TaskEvent
from mer.grids.grid_file import kind_of_grid, preset_names, read_grid_of
from mer.grids.grid_meter import GridMeter
from mer.grids.run_grid import HERE, run_grid
from mer.protocol import ProtocolError

NarrowConfig = Callable[..., FinetuneConfig]

# The cells of Sun 2023 that can be read: WA, UA.
TABLE_1 = {
    "text": (None, None),
    "audio": (None, None),
    "FC": (None, None),
    "CA": (77.19, 78.47),
    "CA + Aux1": (None, None),
    "CA + Aux2": (None, None),
    "CA + Aux1 & Aux2": (78.34, 79.59),
}
TABLE_2 = {"K = 1": (78.34, 79.59), "K = 2": (78.42, 79.71), "K = 3": (None, None)}


def test_the_presets_are_the_tables_of_the_paper() -> None:
    assert preset_names("finetune") == ("sun2023-table1", "sun2023-table2")
    first, second = (read_grid_of(FINETUNE_GRIDS, name) for name in preset_names("finetune"))
    assert {row.name: (row.published_wa, row.published_ua) for row in first.rows} == TABLE_1
    assert {row.name: (row.published_wa, row.published_ua) for row in second.rows} == TABLE_2
    shapes = [(c.modality, c.fusion, c.fusion_layers, c.aux) for row in first.rows for c in row.configs if c.modality == "both"]
    assert shapes == [("both", "fc", 1, "none"), *(("both", "ca", 1, aux) for aux in ("none", "1", "2", "1+2"))]
    assert [row.configs[0].modality for row in first.rows[:2]] == ["text", "speech"]
    assert [(c.fusion, c.fusion_layers, c.aux) for row in second.rows for c in row.configs] == [
        ("ca", layers, "1+2") for layers in (1, 2, 3)
    ]
    for grid in (first, second):
        assert {(c.seeds, c.folds, c.classes, c.attention_heads) for row in grid.rows for c in row.configs} == {
            ((0, 1, 2, 3, 4), None, "4", 8)
        }
        assert {(c.validation, c.chosen_by) for row in grid.rows for c in row.configs} == {("none", "last")}
        held = read_grid_of(FINETUNE_GRIDS, grid.name, overrides={"validation": "random"})
        assert {(c.validates, c.chosen_by) for row in held.rows for c in row.configs} == {(True, "validation")}
    assert kind_of_grid("sun2023-table1", ("heads", "finetune")) == "finetune"
    # CA with both tasks at K = 1 is one row of both tables, and is trained once.
    assert first.rows[-1].identity() == second.rows[0].identity()


def grid_of(*rows: GridRow[FinetuneConfig]) -> Grid[FinetuneConfig]:
    return Grid(name="own", title="Mine", paper="Nobody 2000", paper_seeds=1, rows=rows)


def train(corpus: Corpus, grid: Grid[FinetuneConfig], runs: Path, backend: Any = None, **options: Any) -> Any:
    """By workers where a backend is given, else by this process alone."""
    kind = FinetuneTasks(corpus, Storage(runs=runs, weights=False), command="mer grid", elsewhere=backend is not None)
    return run_grid(grid, kind, backend=backend or HERE, pause=lambda seconds: None, **options)


def test_a_grid_writes_what_the_paper_has_beside_ours_and_takes_finished_rows(
    corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path
) -> None:
    before = finetune(corpus, text_row, Storage(runs=tmp_path, weights=False))
    bad = replace(text_row, text_disjoint=True)  # every session has the same texts
    grid = grid_of(
        GridRow(name="text", configs=(text_row,), published_ua=50.0, published_wa=40.0, setup={"batch": text_row.batch}),
        GridRow(name="bad", configs=(bad,)),
        GridRow(name="faster", configs=(replace(text_row, encoder_rate=1e-3),)),
    )
    events: list[Any] = []
    result = train(corpus, grid, tmp_path, progress=events.append)
    assert result.failed
    assert [event.reused for event in events if isinstance(event, RowDone)] == [True, False, False]
    first, second, third = result.values["rows"]
    assert first["directory"] == before.directory.name
    wa = before.values["summary"]["all"]["wa"]["mean_of_folds"]
    assert first["paper_wa"]["difference"] == pytest.approx(wa - 0.4)
    assert first["paper"]["published"] == 0.5
    assert [row["status"] for row in (first, second, third)] == ["done", "failed", "done"]
    assert "no training utterance of class" in second["failure"]
    assert third["paper"] is None
    assert third["paper_wa"] is None
    assert len(result.values["comparisons"]) == 1
    assert json.loads((result.directory / "grid.json").read_text()) == result.values
    meter, seen = GridMeter(lambda task: FinetuneMeter()), list[float]()
    for event in events:
        meter.take(event)
        seen.append(meter.done)
        assert 0 <= meter.done <= meter.total + 1e-9
    assert seen == sorted(seen)
    assert 0 < meter.done == pytest.approx(meter.total) == pytest.approx(0.1 * 2 * 2)  # one row of two epochs and two runs

    launched = train(corpus, grid, tmp_path / "launched", LocalBackend(workers=1), progress=events.append)
    assert launched.values == result.values
    assert sum(isinstance(event, TaskEvent) for event in events) > 3
    again = train(corpus, grid, tmp_path / "launched", LocalBackend(workers=1))
    assert [row.result.reused for row in again.rows if row.result] == [True, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": ("8",)}, "no session 8 to test on, only 1, 2, 3"),
        ({"precision": "float32"}, "device and dtype must be those of all rows"),
    ],
)
def test_a_grid_is_refused_before_its_first_row(
    settings: dict[str, Any], message: str, corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path
) -> None:
    grid = grid_of(GridRow(name="a", configs=(text_row,)), GridRow(name="b", configs=(replace(text_row, **settings),)))
    with pytest.raises((FinetuneError, ProtocolError), match=message):
        train(corpus, grid, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_ranks_fine_tune_their_own_rows_and_the_last_one_has_the_table(
    corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path
) -> None:
    faster = replace(text_row, encoder_rate=1e-3)
    grid = grid_of(GridRow(name="text", configs=(text_row,)), GridRow(name="faster", configs=(faster,)))
    statuses = []
    for rank in (1, 0):
        own = lambda tasks, rank=rank: own_share(tasks, rank, 2)  # noqa: E731
        result = train(corpus, grid, tmp_path, LocalBackend(workers=1), own=own)
        assert not result.failed
        statuses.append([row["status"] for row in result.values["rows"]])
    assert sorted(statuses[0]) == ["done", "pending"]
    assert statuses[1] == ["done", "done"]


def test_a_row_whose_worker_is_lost_for_good_is_recorded(corpus: Corpus, text_row: FinetuneConfig, tmp_path: Path) -> None:
    class Lost:
        def run(self, work: Work, tasks: Iterable[Task], *, tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
            return tuple(TaskFailed(name=task.name, reason="killed twice on node7", tries=2) for task in tasks)

    result = train(corpus, grid_of(GridRow(name="text", configs=(text_row,))), tmp_path, Lost())
    assert [row.failure for row in result.rows] == ["the row is not trained: killed twice on node7"]


@pytest.mark.parametrize(
    ("processes", "problem", "ends"),
    [
        (1, FinetuneError("only here"), False),
        (2, FinetuneError("only here"), True),
        (2, DivergedError("everywhere"), False),
        (1, ZeroDivisionError("a bug"), True),
    ],
)
def test_what_not_all_processes_know_ends_the_grid_in_each(
    processes: int,
    problem: Exception,
    ends: bool,
    corpus: Corpus,
    text_row: FinetuneConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Second:
        num_processes, is_main_process = processes, processes == 1

    def refuse(*given: Any, **options: Any) -> None:
        raise problem

    monkeypatch.setattr("mer.grids.finetune_tasks.make_accelerator", lambda config: Second())
    monkeypatch.setattr("mer.grids.finetune_work.finetune", refuse)
    grid, events = grid_of(GridRow(name="text", configs=(text_row,))), list[object]()
    if ends:
        with pytest.raises(type(problem), match=str(problem)):
            train(corpus, grid, tmp_path, progress=events.append)
    else:
        assert [row.failure for row in train(corpus, grid, tmp_path, progress=events.append).rows] == [str(problem)]
    # Only the first process tells and writes, and none keeps answers where another could read them half written.
    assert bool(events) == (processes == 1)
    assert [file.name for file in tmp_path.rglob("*.json")] == ["grid.json"] * (processes == 1)


def test_a_worker_with_other_versions_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    work = FinetuneWork(
        corpus=corpus, storage=Storage(runs=tmp_path), answers=AnswersHere(), command=None, versions={"torch": "1.0"}
    )
    with pytest.raises(BackendError, match="torch"), work.open(Slot(number=0, device="cpu", threads=1)):
        pass
