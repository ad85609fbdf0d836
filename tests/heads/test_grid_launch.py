import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.backends import BackendError, Slot, Unit, UnitDone, UnitFailed, Work
from mer.backends.agreement import versions
from mer.heads import HeadConfig
from mer.heads.grid import Grid, GridRow
from mer.heads.grid_launch import JobsPlanned, launch_grid
from mer.heads.grid_runner import run_grid
from mer.heads.grid_table import GridResult, RowDone
from mer.heads.head_jobs import head_jobs
from mer.heads.head_work import HeadWork, JobEvent
from mer.heads.job_meter import JobMeter
from mer.heads.planned_head import plan_head
from mer.heads.progress import EpochDone, TrainingStarted
from mer.results import RunDone

CacheMaker = Callable[..., Any]
TINY = HeadConfig(granularities=("F",), hidden=4, max_epochs=1, learning_rate=0.02, batch=8, seeds=(0, 1), device="cpu")
COATTENTION = replace(TINY, fusion="coattention", attention_heads=2, attention_layers=1, granularities=("S",))
GRID = Grid(
    name="own table",
    title="Mine",
    rows=(
        GridRow(name="late F", configs=(TINY,), published_ua=70.0),
        GridRow(name="coattention S", configs=(COATTENTION,)),
        GridRow(name="both levels", configs=(COATTENTION, TINY)),
    ),
)


class InTurn:
    """A backend that does units one after the other here; some of them twice, and some never."""

    def __init__(self, *, twice: bool = False, fails: Callable[[Unit], bool] = lambda unit: False, stop_after: int = 99) -> None:
        self.twice, self.fails, self.stop_after = twice, fails, stop_after
        self.done: list[str] = []
        self.shares: float = 1

    def run(self, work: Work, units: Iterable[Unit], *, tell: Callable[[object], None]) -> tuple[UnitFailed, ...]:
        failures = []
        with work.open(Slot(number=0, device="cpu", threads=1)) as worker:
            for unit in units:
                if self.fails(unit):
                    failures.append(UnitFailed(name=unit.name, reason="killed twice on node7", tries=2))
                    tell(failures[-1])
                    continue
                for _ in range(1 + self.twice):
                    worker.do(unit, share=self.shares, tell=tell)
                self.done.append(unit.name)
                if len(self.done) == self.stop_after:
                    raise KeyboardInterrupt
        return tuple(failures)


def launch(make_cache: CacheMaker, runs: Path, backend: InTurn, **options: Any) -> GridResult[HeadConfig]:
    return launch_grid(
        make_cache(), GRID, runs, backend=backend, open_features=make_cache, workers=2, pause=lambda seconds: None, **options
    )


def contents(runs: Path) -> dict[str, bytes]:
    """Every file that holds no times, and no record of starts."""
    found = {}
    for file in sorted(runs.rglob("*")):
        if file.is_file() and file.name not in {"provenance.json", "result.json"}:
            found[str(file.relative_to(runs))] = file.read_bytes()
    return found


def test_a_grid_in_bundles_leaves_the_files_of_one_that_is_trained_row_by_row(make_cache: CacheMaker, tmp_path: Path) -> None:
    """Every bundle is done twice here, as a backend may do it."""
    plain = run_grid(make_cache(), GRID, tmp_path / "plain")
    launched = launch(make_cache, tmp_path / "bundles", InTurn(twice=True))
    assert not launched.failed
    assert [each.row.name for each in launched.rows] == [row.name for row in GRID.rows]
    assert contents(tmp_path / "bundles") == contents(tmp_path / "plain")
    assert launched.values == plain.values
    for result in (tmp_path / "bundles").glob("*/result.json"):
        mine, theirs = (
            json.loads(file.read_text()) for file in (result, tmp_path / "plain" / result.relative_to(tmp_path / "bundles"))
        )
        assert mine["summary"] == theirs["summary"]
        assert mine["device"] == theirs["device"] == "cpu"


def test_attention_trains_run_by_run_on_a_cpu_and_folds_of_a_seed_stay_together_elsewhere(
    make_cache: CacheMaker, tmp_path: Path
) -> None:
    heads = [plan_head(make_cache(), config, tmp_path) for config in (TINY, COATTENTION)]
    units = head_jobs(heads, workers=2)
    assert [unit.content.keys for unit in units if unit.content.config == TINY] == [
        (("1", 0), ("2", 0), ("3", 0)),
        (("1", 1), ("2", 1), ("3", 1)),
    ]
    assert sorted(unit.content.keys for unit in units if unit.content.config == COATTENTION) == sorted(
        ((fold, seed),) for fold in "123" for seed in (0, 1)
    )
    assert len({unit.name for unit in units}) == len(units)
    by_run = {unit.content.config.fusion: unit.cost / len(unit.content.keys) for unit in units}
    assert by_run["coattention"] > by_run["late"] > 0


def test_on_a_gpu_seeds_are_bundled_as_far_as_memory_and_workers_go(
    make_cache: CacheMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(COATTENTION, device="cuda", seeds=tuple(range(12)))
    head = plan_head(make_cache(), config, tmp_path)
    assert [len(unit.content.keys) for unit in head_jobs([head], workers=1)] == [9, 9, 9, 9]
    assert [len(unit.content.keys) for unit in head_jobs([head], workers=3)] == [3] * 12
    monkeypatch.setattr("mer.heads.head_jobs.GPU_BYTES", 0)
    assert [len(unit.content.keys) for unit in head_jobs([head], workers=1)] == [3] * 12


def test_each_row_is_in_the_table_as_soon_as_its_last_bundle_is(make_cache: CacheMaker, tmp_path: Path) -> None:
    order: list[str] = []

    def note(event: object) -> None:
        if isinstance(event, RowDone):
            order.append(event.name)
            (file,) = tmp_path.glob("*/grid.json")
            states = {row["name"]: row["status"] for row in json.loads(file.read_text())["rows"]}
            assert [name for name, state in states.items() if state == "done"] == [n for n in states if n in order]
        elif isinstance(event, UnitDone):
            order.append("bundle")

    launch(make_cache, tmp_path, InTurn(), progress=note)
    # Three late runs are more work than one coattention run.
    assert order == [*["bundle"] * 2, "late F", *["bundle"] * 6, "coattention S", "both levels"]


def test_a_bundle_that_fails_is_the_failure_of_the_rows_that_need_it_and_the_others_go_on(
    make_cache: CacheMaker, tmp_path: Path
) -> None:
    fails = InTurn(fails=lambda unit: unit.content.config.fusion == "coattention" and unit.content.keys == (("2", 1),))
    result = launch(make_cache, tmp_path, fails)
    assert result.failed
    failures = {each.row.name: each.failure for each in result.rows}
    assert failures == {
        "late F": None,
        "coattention S": "1 of 6 runs are not trained, first fold 2, seed 1: killed twice on node7",
        "both levels": "1 of 6 runs are not trained, first fold 2, seed 1: killed twice on node7",
    }
    again = InTurn()
    assert not launch(make_cache, tmp_path, again).failed
    assert [name.rpartition("/")[2] for name in again.done] == ["fold2-seed1-1"]


@pytest.mark.parametrize("stop_after", [1, 6])
def test_an_interrupted_launch_goes_on_with_the_bundles_that_are_left(
    make_cache: CacheMaker, tmp_path: Path, stop_after: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        launch(make_cache, tmp_path / "parts", InTurn(stop_after=stop_after))
    rest = InTurn()
    result = launch(make_cache, tmp_path / "parts", rest)
    assert len(rest.done) == 8 - stop_after
    assert result.values == run_grid(make_cache(), GRID, tmp_path / "whole").values
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def flip_last_bit(file: Path) -> None:
    image = file.read_bytes()
    file.write_bytes(image[:-1] + bytes([image[-1] ^ 1]))


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
def test_a_bundle_whose_weights_or_record_are_gone_or_damaged_is_trained_again(
    make_cache: CacheMaker, tmp_path: Path, pattern: str, harm: Callable[[Path], object]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        launch(make_cache, tmp_path / "parts", InTurn(stop_after=1))
    (file, *_) = (tmp_path / "parts").glob(pattern)
    harm(file)
    rest = InTurn()
    assert not launch(make_cache, tmp_path / "parts", rest).failed
    assert len(rest.done) == 8
    run_grid(make_cache(), GRID, tmp_path / "whole")
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_ranks_train_their_own_bundles_and_the_last_one_finishes_the_table(make_cache: CacheMaker, tmp_path: Path) -> None:
    planned: list[JobsPlanned] = []

    def note(event: object) -> None:
        if isinstance(event, JobsPlanned):
            planned.append(event)

    first = launch(make_cache, tmp_path, InTurn(), own=lambda units: list(units)[::2], progress=note)
    assert (len(planned[0].costs), planned[0].others) == (4, 4)
    assert not first.failed
    assert [each.row.name for each in first.rows] == []
    assert {row["status"] for row in first.values["rows"]} == {"pending"}
    second = launch(make_cache, tmp_path, InTurn(), own=lambda units: list(units)[1::2])
    assert [each.row.name for each in second.rows] == [row.name for row in GRID.rows]
    assert second.values == run_grid(make_cache(), GRID, tmp_path / "whole").values


def test_a_result_that_shows_late_on_the_file_system_is_waited_for(
    make_cache: CacheMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden: list[Path] = []
    pauses: list[float] = []

    class Slow(InTurn):
        """The last file of each bundle shows after the second pause."""

        def run(self, work: Work, units: Iterable[Unit], *, tell: Callable[[object], None]) -> tuple[UnitFailed, ...]:
            def hide(event: object) -> None:
                if isinstance(event, UnitDone):
                    file = max(tmp_path.glob("*/finished/fold1-seed0.json"), key=lambda path: path.stat().st_mtime_ns)
                    file.rename(file.with_suffix(".hidden"))
                    hidden.append(file)
                    pauses.clear()
                tell(event)

            return super().run(work, units, tell=hide)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            while hidden:
                file = hidden.pop()
                file.with_suffix(".hidden").rename(file)

    grid = replace(GRID, rows=GRID.rows[:1])
    one = replace(TINY, seeds=(0,))
    grid = replace(grid, rows=(replace(grid.rows[0], configs=(one,)),))
    result = launch_grid(make_cache(), grid, tmp_path, backend=Slow(), open_features=make_cache, workers=1, pause=pause)
    assert not result.failed
    assert len(pauses) == 2


def test_a_worker_refuses_another_cache_and_other_versions(make_cache: CacheMaker, tmp_path: Path) -> None:
    work = HeadWork(open_features=make_cache, key="another", runs=tmp_path, versions=versions())
    slot = Slot(number=0, device="cpu", threads=1)
    with pytest.raises(BackendError, match="the cache here is 0123456789ab, the launcher's is another"), work.open(slot):
        pass
    older = replace(work, key=make_cache().key, versions={**versions(), "torch": "1.0"})
    with pytest.raises(BackendError, match=r"torch 1\.0|1\.0.*torch|torch.*1\.0"), older.open(slot):
        pass


def test_the_second_try_stacks_half_as_many_runs_and_gives_the_same(make_cache: CacheMaker, tmp_path: Path) -> None:
    stacks: list[int] = []

    def note(event: object) -> None:
        if isinstance(event, JobEvent) and isinstance(event.event, TrainingStarted):
            stacks.append(event.event.stack)

    halved = InTurn()
    halved.shares = 0.5
    grid = replace(GRID, rows=GRID.rows[:1])
    for name, backend in (("whole", InTurn()), ("half", halved)):
        launch_grid(make_cache(), grid, tmp_path / name, backend=backend, open_features=make_cache, workers=2, progress=note)
    assert stacks == [3, 3, 1, 1]
    assert contents(tmp_path / "whole") == contents(tmp_path / "half")


def epoch(run: int, number: int) -> EpochDone:
    return EpochDone(
        run=run, runs=3, over=0, fold="1", seed=0, epoch=number, max_epochs=9, train_loss=1, validation_loss=1, validation_ua=0.5
    )


def test_the_meter_counts_bundles_by_their_work() -> None:
    meter = JobMeter()
    meter.take(JobsPlanned(costs={"a": 30.0, "b": 10.0}, others=5))
    assert (meter.total, meter.done, meter.jobs, meter.over) == (40, 0, 2, 0)
    meter.take(JobEvent(unit="b", event=epoch(1, 3)))
    np.testing.assert_allclose(meter.done, 10 * 3 / 15)
    meter.take(JobEvent(unit="b", event=epoch(1, 6)))
    over = RunDone(run=1, runs=3, over=1, fold="1", seed=0, best_epoch=2, ua=0.5, failure=None)
    meter.take(JobEvent(unit="b", event=over))
    meter.take(UnitDone(name="b"))
    np.testing.assert_allclose((meter.done, meter.over), (10, 1))
    # Runs take six epochs, as far as is known.
    meter.take(JobEvent(unit="a", event=epoch(2, 3)))
    np.testing.assert_allclose(meter.done, 10 + 30 * 3 / 6)
    meter.take(UnitFailed(name="a", reason="lost", tries=2))
    assert (meter.done, meter.over) == (40, 2)
