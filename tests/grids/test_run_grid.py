"""Grids of heads, by this process alone and in bundles on a backend: one table, byte for byte."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mer.backends import BackendError, Slot, Task, TaskDone, TaskFailed, Work
from mer.backends.agreement import versions
from mer.grids.grid import Grid, GridRow
from mer.grids.grid_events import ComparisonStarted, RowDone, TaskEvent, TasksPlanned
from mer.grids.grid_meter import GridMeter, head_meters
from mer.grids.grid_table import GridResult
from mer.grids.head_tasks import HeadTasks
from mer.grids.head_work import HeadWork
from mer.grids.run_grid import HERE, run_grid
from mer.heads import FeatureStore, HeadConfig, open_store
from mer.heads.progress import TrainingStarted
from mer.results import RunDone
from mer.tests.grids.in_turn import InTurn, contents

CacheMaker = Callable[..., Any]
TINY = HeadConfig(granularities=("F",), hidden=4, max_epochs=2, learning_rate=0.02, batch=8, seeds=(0, 1), device="cpu")
COATTENTION = replace(TINY, fusion="coattention", attention_heads=2, attention_layers=1, max_epochs=1, granularities=("S",))
GRID = Grid(
    name="own table",
    title="Mine",
    paper="Nobody 2000",
    paper_seeds=3,
    rows=(
        GridRow(name="late F", configs=(TINY,), published_ua=71.5, setup={}),
        GridRow(name="text", configs=(replace(TINY, modality="text", fusion="linear", max_epochs=1),)),
        GridRow(name="coattention S", configs=(COATTENTION,)),
        GridRow(name="both levels", configs=(COATTENTION, TINY)),
    ),
)
ONE_ROW = replace(GRID, rows=GRID.rows[:1])
BUNDLES = {"late F": 2, "text": 2, "coattention S": 6, "both levels": 0}
"""Tasks of each row that no earlier row has, where two workers share them; for one process it is one for each head."""
WAYS = pytest.mark.parametrize("several", [False, True], ids=["one process", "bundles"])


def train(cache: CacheMaker, runs: Path, backend: Any = None, *, grid: Grid[HeadConfig] = GRID, **options: Any) -> Any:
    """In bundles where a backend is given, else by this process alone."""
    where: dict[str, Any] = {} if backend is None else {"workers": 2, "open_features": cache}
    kind = HeadTasks(cache(), runs, command="mer grid own.toml", **where)
    return run_grid(grid, kind, backend=backend or HERE, pause=lambda seconds: None, **options)


@dataclass(frozen=True)
class Whole:
    """A grid that was trained without interruption."""

    runs: Path
    result: GridResult[HeadConfig]
    events: list[object]


@pytest.fixture(scope="module")
def one_process(make_cache: CacheMaker, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    runs, events = tmp_path_factory.mktemp("one"), list[object]()
    return Whole(runs, train(make_cache, runs, progress=events.append), events)


@pytest.fixture(scope="module")
def bundles(make_cache: CacheMaker, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Every bundle is done twice here, as a backend may do it."""
    runs, events = tmp_path_factory.mktemp("bundles"), list[object]()
    return Whole(runs, train(make_cache, runs, InTurn(twice=True), progress=events.append), events)


def test_every_row_is_trained_and_stands_in_grid_json(one_process: Whole) -> None:
    result, runs = one_process.result, one_process.runs
    assert not result.failed
    assert result.directory.parent == runs
    assert result.directory.name.startswith("planted-own-table-")
    values = result.values
    assert json.loads((result.directory / "grid.json").read_text()) == values
    assert values["grid"] == {"name": "own table", "title": "Mine", "paper": "Nobody 2000", "paper_seeds": 3}
    assert (values["corpus"], values["synthetic"], values["cache_key"]) == ("planted", True, "0123456789abcdef")
    assert [each["name"] for each in values["rows"]] == list(BUNDLES)
    for each, done in zip(values["rows"], result.rows, strict=True):
        assert done.result is not None
        assert (runs / each["directory"]).samefile(done.result.directory)
        written = json.loads((runs / each["directory"] / "result.json").read_text())
        assert (each["status"], each["summary"], each["failed_runs"]) == ("done", written["summary"], [])
    assert [each["branches"] for each in values["rows"]] == [["F", "T"], ["T"], ["S", "T"], ["F", "S", "T"]]


@pytest.mark.parametrize("way", ["one_process", "bundles"])
def test_every_head_is_begun_once_with_the_command(way: str, request: pytest.FixtureRequest) -> None:
    whole: Whole = request.getfixturevalue(way)
    for row in whole.result.values["rows"]:
        (start,) = json.loads((whole.runs / row["directory"] / "provenance.json").read_text())
        assert start["command"] == "mer grid own.toml"


def test_bundles_leave_the_files_of_one_process(one_process: Whole, bundles: Whole) -> None:
    assert not bundles.result.failed
    assert contents(bundles.runs) == contents(one_process.runs)
    assert bundles.result.values == one_process.result.values
    for file in bundles.runs.glob("*/result.json"):
        theirs = json.loads(file.read_text())
        ours = json.loads((one_process.runs / file.parent.name / "result.json").read_text())
        assert theirs["summary"] == ours["summary"]
        assert theirs["device"] == ours["device"] == "cpu"


def test_one_process_trains_the_runs_of_a_head_in_one_stack_in_the_order_of_the_rows(one_process: Whole) -> None:
    (planned,) = [event for event in one_process.events if isinstance(event, TasksPlanned)]
    assert [(task.row, task.runs) for task in planned.tasks] == [(1, 6), (2, 6), (3, 6)]
    assert planned.others == 0
    started = [event.event for event in one_process.events if isinstance(event, TaskEvent)]
    assert [event.stack for event in started if isinstance(event, TrainingStarted)][:2] == [6, 6]


@WAYS
def test_each_row_is_in_the_table_as_soon_as_its_last_task_is(several: bool, make_cache: CacheMaker, tmp_path: Path) -> None:
    order: list[str] = []

    def note(event: object) -> None:
        match event:
            case RowDone():
                order.append(event.name)
                (file,) = tmp_path.glob("*/grid.json")
                states = {row["name"]: row["status"] for row in json.loads(file.read_text())["rows"]}
                assert [name for name, state in states.items() if state == "done"] == [n for n in states if n in order]
            case TaskDone():
                order.append("task")
            case ComparisonStarted():
                order.append(f"compare {event.rows}")
            case _:
                pass

    train(make_cache, tmp_path, InTurn() if several else None, progress=note)
    one = ["task", "late F", "task", "text", "task", "coattention S", "both levels"]
    # Three runs of a late head are more work than one of a coattention head, or than three on texts.
    assert order[-1] == "compare 4"
    assert order[:-1] == one if not several else order.index("late F") < order.index("coattention S") < order.index("both levels")
    assert order.count("task") == (sum(BUNDLES.values()) if several else 3)


def stop_after_runs(runs: int) -> Callable[[object], None]:
    """Ctrl-C when so many runs of this command are over."""
    seen = 0

    def stop(event: object) -> None:
        nonlocal seen
        seen += isinstance(event, TaskEvent) and isinstance(event.event, RunDone)
        if seen == runs:
            raise KeyboardInterrupt

    return stop


@WAYS
def test_an_interrupted_grid_goes_on_and_gives_what_an_uninterrupted_one_gives(
    several: bool, make_cache: CacheMaker, one_process: Whole, tmp_path: Path
) -> None:
    for stop, rows in ((3, 0), (4, 1), (9, 2)):  # after 3, 7 and 16 of 18 runs
        with pytest.raises(KeyboardInterrupt):
            train(make_cache, tmp_path, InTurn() if several else None, progress=stop_after_runs(stop))
        found = json.loads((tmp_path / one_process.result.directory.name / "grid.json").read_text())["rows"]
        assert several or [each["status"] for each in found] == ["done"] * rows + ["pending"] * (4 - rows)
    events: list[object] = []
    resumed = train(make_cache, tmp_path, InTurn() if several else None, progress=events.append)
    assert contents(tmp_path) == contents(one_process.runs)
    assert resumed.values == one_process.result.values
    assert [event.reused for event in events if isinstance(event, RowDone)] == [True, True, several, False]
    started = [event.event for event in events if isinstance(event, TaskEvent)]
    assert [each.finished for each in started if isinstance(each, TrainingStarted)] == [4]
    again = train(make_cache, tmp_path, InTurn() if several else None)
    assert all(each.result is not None and each.result.reused for each in again.rows)
    assert again.values == one_process.result.values


@WAYS
def test_a_row_of_another_grid_is_not_trained_again(
    several: bool, make_cache: CacheMaker, one_process: Whole, tmp_path: Path
) -> None:
    grid = replace(ONE_ROW, rows=(replace(GRID.rows[0], name="called otherwise"), GRID.rows[1]))
    train(make_cache, tmp_path, grid=ONE_ROW)
    result = train(make_cache, tmp_path, InTurn() if several else None, grid=grid)
    assert [each.result is not None and each.result.reused for each in result.rows] == [True, False]


def test_a_bundle_that_fails_is_the_failure_of_the_rows_that_need_it_and_the_others_go_on(
    make_cache: CacheMaker, tmp_path: Path
) -> None:
    fails = InTurn(fails=lambda task: task.content.config.fusion == "coattention" and task.content.keys == (("2", 1),))
    result = train(make_cache, tmp_path, fails)
    assert result.failed
    reason = "1 of 6 runs are not trained, first fold 2, seed 1: killed twice on node7"
    assert [each.failure for each in result.rows] == [None, None, reason, reason]
    again = InTurn()
    assert not train(make_cache, tmp_path, again).failed
    assert [name.rpartition("/")[2] for name in again.done] == ["fold2-seed1-1"]


@WAYS
def test_a_head_that_refuses_to_train_is_a_failed_row_and_the_others_go_on(
    several: bool, make_cache: CacheMaker, tmp_path: Path
) -> None:
    def nameless() -> Any:
        cache = make_cache()
        cache.utterances.speakers[0] = ""
        return cache

    bad = GridRow(name="by speaker", configs=(replace(TINY, normalize="speaker"),))
    grid = replace(GRID, rows=(bad, GRID.rows[0]))
    result = train(nameless, tmp_path, InTurn() if several else None, grid=grid)
    assert [row.failure is None for row in result.rows] == [False, True]
    assert "6 of 6 runs are not trained, first fold 1, seed 0: 1 utterances name no speaker" in str(result.rows[0].failure)


def flip_last_bit(file: Path) -> None:
    image = file.read_bytes()
    file.write_bytes(image[:-1] + bytes([image[-1] ^ 1]))


@WAYS
@pytest.mark.parametrize(
    ("pattern", "harm"),
    [
        ("*/weights/*.safetensors", Path.unlink),
        ("*/weights/*.safetensors", lambda file: file.write_bytes(b"")),
        ("*/weights/*.safetensors", flip_last_bit),
        ("*/finished/*.json", lambda file: file.write_text(file.read_text().replace('"logits": [[', '"logits": [[1'))),
        ("*/finished/*.json", lambda file: file.write_text(file.read_text()[:100])),
        ("*/finished/*.json", lambda file: file.write_text(file.read_text().replace("self_sha256", "self_sha257"))),
    ],
)
def test_a_run_whose_weights_or_record_are_gone_or_damaged_is_trained_again(
    several: bool, make_cache: CacheMaker, one_process: Whole, tmp_path: Path, pattern: str, harm: Callable[[Path], object]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(make_cache, tmp_path, InTurn(stop_after=1), grid=ONE_ROW)
    (file, *_) = tmp_path.glob(pattern)
    harm(file)
    rest, events = InTurn(), list[object]()
    assert not train(make_cache, tmp_path, rest if several else None, grid=ONE_ROW, progress=events.append).failed
    assert len([event for event in events if isinstance(event, TaskEvent) and isinstance(event.event, RunDone)]) == 4
    directory = one_process.result.values["rows"][0]["directory"]
    assert contents(tmp_path / directory) == contents(one_process.runs / directory)


def test_ranks_train_their_own_bundles_and_the_last_one_finishes_the_table(
    make_cache: CacheMaker, one_process: Whole, tmp_path: Path
) -> None:
    planned: list[object] = []
    first = train(make_cache, tmp_path, InTurn(), own=lambda tasks: list(tasks)[::2], progress=planned.append)
    assert [(len(each.tasks), each.others) for each in planned if isinstance(each, TasksPlanned)] == [(5, 5)]
    assert not first.failed
    assert [each.row.name for each in first.rows] == []
    assert {row["status"] for row in first.values["rows"]} == {"pending"}
    second = train(make_cache, tmp_path, InTurn(), own=lambda tasks: list(tasks)[1::2])
    assert [each.row.name for each in second.rows] == list(BUNDLES)
    assert second.values == one_process.result.values


def test_a_result_that_shows_late_on_the_file_system_is_waited_for(make_cache: CacheMaker, tmp_path: Path) -> None:
    hidden: list[Path] = []
    pauses: list[float] = []

    class Slow(InTurn):
        """The last file of each bundle shows after the second pause."""

        def run(self, work: Work, tasks: Iterable[Task], *, tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
            def hide(event: object) -> None:
                if isinstance(event, TaskDone):
                    (file,) = tmp_path.glob("*/finished/fold1-seed0.json")
                    file.rename(file.with_suffix(".hidden"))
                    hidden.append(file)
                tell(event)

            return super().run(work, tasks, tell=hide)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            file = hidden.pop()
            file.with_suffix(".hidden").rename(file)

    grid = replace(GRID, rows=(GridRow(name="one seed", configs=(replace(TINY, seeds=(0,)),)),))
    kind = HeadTasks(make_cache(), tmp_path, workers=2, open_features=make_cache)
    assert not run_grid(grid, kind, backend=Slow(), pause=pause).failed
    assert len(pauses) == 2


def test_a_worker_refuses_another_cache_and_other_versions(make_cache: CacheMaker, tmp_path: Path) -> None:
    work = HeadWork(open_features=make_cache, key="another", runs=tmp_path, versions=versions())
    slot = Slot(number=0, device="cpu", threads=1)
    with pytest.raises(BackendError, match="the cache here is 0123456789ab, the launcher's is another"), work.open(slot):
        pass
    older = replace(work, key=make_cache().key, versions={**versions(), "torch": "1.0"})
    with pytest.raises(BackendError, match=r"torch 1\.0|1\.0.*torch|torch.*1\.0"), older.open(slot):
        pass


def test_the_second_try_stacks_half_as_many_runs_and_gives_the_same(
    make_cache: CacheMaker, one_process: Whole, tmp_path: Path
) -> None:
    events: list[object] = []
    train(make_cache, tmp_path, InTurn(share=0.5), grid=ONE_ROW, progress=events.append)
    started = [event.event for event in events if isinstance(event, TaskEvent)]
    assert [event.stack for event in started if isinstance(event, TrainingStarted)] == [1, 1]
    directory = one_process.result.values["rows"][0]["directory"]
    assert contents(tmp_path / directory) == contents(one_process.runs / directory)


def reached(events: Sequence[object]) -> list[tuple[float, float]]:
    """Work done and in all after each event."""
    meter = GridMeter(head_meters())
    found = []
    for event in events:
        meter.take(event)
        found.append((meter.done, meter.total))
    return found


@WAYS
def test_the_meter_reaches_its_end_and_never_runs_backwards(
    several: bool, make_cache: CacheMaker, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    whole = reached(request.getfixturevalue("bundles" if several else "one_process").events)
    with pytest.raises(KeyboardInterrupt):
        train(make_cache, tmp_path, InTurn() if several else None, progress=stop_after_runs(7))
    events: list[object] = []
    train(make_cache, tmp_path, InTurn() if several else None, progress=events.append)
    rest = reached(events)
    for seen in (whole, rest):
        done = [each for each, _ in seen]
        assert done == sorted(done)
        assert len(set(done)) > 5
        assert done[-1] == pytest.approx(seen[-1][1], rel=1e-9)
    assert rest[-1][1] < whole[-1][1]


def test_heads_share_features_unless_their_device_or_limits_differ(
    make_cache: CacheMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float | None] = []

    def counted(config: HeadConfig) -> FeatureStore:
        limits.append(config.ram_gib)
        return open_store(config)

    monkeypatch.setattr("mer.grids.head_work.open_store", counted)
    configs = {"a": TINY, "b": replace(TINY, hidden=5), "c": replace(TINY, hidden=6, ram_gib=1.0)}
    grid = Grid(name="stores", title="Mine", rows=tuple(GridRow(name=name, configs=(each,)) for name, each in configs.items()))
    assert not run_grid(grid, HeadTasks(make_cache(), tmp_path)).failed
    assert limits == [None, 1.0]
