import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.heads import HeadConfig, HeadError, Result
from mer.heads.grid import Grid, GridError, GridRow
from mer.heads.grid_cost import row_costs
from mer.heads.grid_meter import GridMeter
from mer.heads.grid_runner import run_grid
from mer.heads.grid_table import ComparisonStarted, GridEvent, GridStarted, RowDone, RowStarted
from mer.heads.progress import EpochDone, TrainingStarted
from mer.protocol import ProtocolError, RunPredictions, summarise
from mer.results import RunDone

CacheMaker = Callable[..., Any]
CLASSES = ("angry", "happy", "sad", "neutral")
TINY = HeadConfig(granularities=("F",), hidden=4, max_epochs=2, learning_rate=0.02, batch=8, seeds=(0, 1), device="cpu")


def row(name: str, published: float | None = None, *others: HeadConfig, **options: Any) -> GridRow[HeadConfig]:
    return GridRow(name=name, configs=(replace(TINY, **options), *others), published_ua=published, setup={})


def grid_of(*rows: GridRow[HeadConfig]) -> Grid[HeadConfig]:
    return Grid(name="own table", title="Mine", paper="Nobody 2000", paper_seeds=3, rows=rows)


REAL = grid_of(
    row("late F", 71.5),
    row("text", modality="text", fusion="linear"),
    row("late F+S", granularities=("F", "S"), hidden=8),
    row(
        "both levels", None, TINY, fusion="coattention", attention_heads=2, attention_layers=1, max_epochs=1, granularities=("S",)
    ),
)


@dataclass
class FakeTrainer:
    """Gives each row answers of which a known share is right; `trouble` is raised instead."""

    right: Mapping[str, float]
    trouble: Mapping[str, BaseException] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trained: list[str] = field(default_factory=list)
    stores: list[Any] = field(default_factory=list)
    failed_runs: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, cache: Any, row: GridRow[HeadConfig], runs: Path, *, progress: Any, command: Any, store: Any) -> Result:
        if row.name in self.trouble:
            raise self.trouble[row.name]
        self.trained.append(row.name)
        self.stores.append(store)
        directory = runs / f"run of {row.name}"
        directory.mkdir(parents=True, exist_ok=True)
        names = self.classes.get(row.name, CLASSES)
        made = [self._run(cache, row, fold, seed) for fold in ("1", "2", "3") for seed in row.configs[0].seeds]
        with (directory / "predictions.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["fold", "seed", "id", "label", "prediction"])
            for ids, run in made:
                for name, truth, answer in zip(ids, run.truth, run.prediction, strict=True):
                    writer.writerow([run.fold, run.seed, name, names[truth], names[answer]])
        values = {
            "summary": json.loads(json.dumps(summarise([run for _, run in made], names).as_dict())),
            "utterances": {"used": 48},
            "failed_runs": self.failed_runs,
        }
        return Result(directory=directory, values=values, reused=False)

    def _run(self, cache: Any, row: GridRow[HeadConfig], fold: str, seed: int) -> tuple[list[str], RunPredictions]:
        table = cache.utterances
        ids = [name for name, session in zip(table.ids, table.sessions, strict=True) if session == fold]
        truth = np.arange(len(ids), dtype=np.int64) % 4
        wrong = np.random.default_rng([seed, int(fold)]).random(len(ids)) >= self.right[row.name]
        answers = np.where(wrong, (truth + 1) % 4, truth)
        return ids, RunPredictions(fold=fold, seed=seed, truth=truth, prediction=answers, styles=("",) * len(ids))


def saved(folder: Path) -> Any:
    return json.loads((folder / "grid.json").read_text())


def test_every_row_is_trained_in_order_and_stands_in_grid_json(make_cache: CacheMaker, tmp_path: Path) -> None:
    result = run_grid(make_cache(), REAL, tmp_path, command="mer grid own.toml")
    assert not result.failed
    assert result.directory.parent == tmp_path
    assert result.directory.name.startswith("planted-own-table-")
    assert saved(result.directory) == result.values
    values = result.values
    assert values["grid"] == {"name": "own table", "title": "Mine", "paper": "Nobody 2000", "paper_seeds": 3}
    assert (values["corpus"], values["synthetic"], values["cache_key"]) == ("planted", True, "0123456789abcdef")
    assert [each["name"] for each in values["rows"]] == ["late F", "text", "late F+S", "both levels"]
    for each, done in zip(values["rows"], result.rows, strict=True):
        assert done.result is not None
        assert each["status"] == "done"
        assert (tmp_path / each["directory"]).samefile(done.result.directory)
        written = json.loads((tmp_path / each["directory"] / "result.json").read_text())
        assert each["summary"] == written["summary"]
        assert each["failed_runs"] == []
    assert [each["branches"] for each in values["rows"]] == [["F", "T"], ["T"], ["F", "S", "T"], ["F", "S", "T"]]
    (start,) = json.loads((tmp_path / values["rows"][0]["directory"] / "provenance.json").read_text())
    assert start["command"] == "mer grid own.toml"


def test_the_paper_stands_beside_the_rows_it_has_figures_for(make_cache: CacheMaker, tmp_path: Path) -> None:
    rows = run_grid(make_cache(), REAL, tmp_path).values["rows"]
    ours = rows[0]["summary"]["all"]["ua"]
    assert [each["published_ua"] for each in rows] == [71.5, None, None, None]
    assert rows[0]["setup"] == {"differs": [], "unknown": []}
    assert rows[1]["paper"] is None
    paper = rows[0]["paper"]
    assert paper["published"] == pytest.approx(0.715, rel=1e-12)
    assert paper["difference"] == pytest.approx(ours["mean_of_folds"] - 0.715, rel=1e-12)
    # t(0.975, 1) = tan(0.475 pi), means of two seeds of ours and of three of the paper's.
    noise = np.tan(0.475 * np.pi) * ours["std_seeds"] * np.sqrt(1 / 2 + 1 / 3)
    assert paper["noise"] == pytest.approx(noise, rel=1e-9)
    assert paper["verdict"] == ("inside" if abs(paper["difference"]) <= noise else "outside")


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ({"corpus": "iemocap"}, {"differs": ["corpus"], "unknown": []}),
        ({"utterances": 49, "folds": 3, "hidden": 6}, {"differs": ["n", "hidden"], "unknown": []}),
        (None, {"differs": [], "unknown": ["the grid does not declare the paper's ([setup])"]}),
    ],
)
def test_without_the_set_up_of_the_paper_a_row_has_no_figure_but_what_differs(
    make_cache: CacheMaker, tmp_path: Path, setup: dict[str, Any] | None, said: dict[str, Any]
) -> None:
    grid = grid_of(replace(row("a", hidden=5), published_ua=71.5, published_wa=70.0, setup=setup))
    result = run_grid(make_cache(), grid, tmp_path, train=FakeTrainer({"a": 0.6}))
    (found,) = result.values["rows"]
    assert found["setup"] == said
    assert [found[name] for name in ("published_ua", "published_wa", "paper", "paper_wa")] == [None] * 4
    assert "71.5" not in (result.directory / "grid.json").read_text()


def test_rows_are_compared_with_the_best(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.6, "b": 0.9, "c": 0.9, "d": 0.3})
    grid = grid_of(row("a"), row("b", hidden=5), row("c", hidden=6), row("d", hidden=7))
    rows = run_grid(make_cache(), grid, tmp_path, train=train).values["comparisons"]
    assert [(each["row"], each["reference"], each["pairs"]) for each in rows] == [("a", "b", 6), ("c", "b", 6), ("d", "b", 6)]
    ua = {
        each["name"]: each["summary"]["all"]["ua"]["mean_of_folds"]
        for each in saved(next(tmp_path.glob("planted-own-table-*")))["rows"]
    }
    assert [each["difference"] for each in rows] == pytest.approx([ua["a"] - ua["b"], 0.0, ua["d"] - ua["b"]], abs=1e-12)
    assert rows[1]["p"] == 1.0
    assert rows[2]["p_holm"] == pytest.approx(3 * min(each["p"] for each in rows), rel=1e-9)


def test_an_interrupted_grid_goes_on_and_gives_what_an_uninterrupted_one_gives(make_cache: CacheMaker, tmp_path: Path) -> None:
    whole = run_grid(make_cache(), REAL, tmp_path / "whole")
    cut = tmp_path / "cut"
    for row_to_stop, run_to_stop in ((1, 3), (2, 1), (3, 5), (4, 2)):
        stop = _stop_at(row_to_stop, run_to_stop)
        with pytest.raises(KeyboardInterrupt):
            run_grid(make_cache(), REAL, cut, progress=stop)
        statuses = [each["status"] for each in saved(cut / whole.directory.name)["rows"]] if row_to_stop > 1 else []
        assert statuses == ["done"] * (row_to_stop - 1) + ["pending"] * (5 - row_to_stop) * (row_to_stop > 1)
    events: list[GridEvent] = []
    resumed = run_grid(make_cache(), REAL, cut, progress=events.append)
    assert _content(cut) == _content(tmp_path / "whole")
    assert resumed.values == whole.values
    assert [event.reused for event in events if isinstance(event, RowDone)] == [True, True, True, False]
    (started,) = [event for event in events if isinstance(event, TrainingStarted)]
    assert (started.runs, started.finished) == (6, 2)
    again = run_grid(make_cache(), REAL, cut)
    assert all(each.result is not None and each.result.reused for each in again.rows)
    assert again.values == whole.values


def _stop_at(row_number: int, run: int) -> Callable[[GridEvent], None]:
    """Ctrl-C when so many runs of a row are over."""
    at = [0, 0]

    def stop(event: GridEvent) -> None:
        if isinstance(event, RowStarted):
            at[0] = event.row
        if isinstance(event, RunDone) and (at[0], event.over) == (row_number, run):
            raise KeyboardInterrupt

    return stop


def _content(folder: Path) -> dict[str, bytes]:
    """All files, less what holds times."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in {"provenance.json", "result.json"}
    }


def test_a_row_that_fails_is_recorded_and_the_others_go_on(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer(
        {"a": 0.5, "d": 0.8},
        {"b": HeadError("no run ended with a number"), "c": ProtocolError("no training utterance of class sad")},
    )
    events: list[GridEvent] = []
    grid = grid_of(row("a"), row("b", hidden=5), row("c", hidden=6), row("d", hidden=7))
    result = run_grid(make_cache(), grid, tmp_path, train=train, progress=events.append)
    assert result.failed
    assert train.trained == ["a", "d"]
    assert [(each["status"], each.get("failure")) for each in result.values["rows"]] == [
        ("done", None),
        ("failed", "no run ended with a number"),
        ("failed", "no training utterance of class sad"),
        ("done", None),
    ]
    assert [each["row"] for each in result.values["comparisons"]] == ["a"]
    done = [event for event in events if isinstance(event, RowDone)]
    assert [(event.row, event.failure is None, event.ua is None) for event in done] == [
        (1, True, False),
        (2, False, True),
        (3, False, True),
        (4, True, False),
    ]
    assert events[-1] == ComparisonStarted(rows=2)


def test_a_bug_is_not_recorded_as_a_failed_row(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({}, {"a": ZeroDivisionError("a bug")})
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_grid(make_cache(), grid_of(row("a")), tmp_path, train=train)


def test_a_failed_run_makes_the_grid_failed_but_not_the_row(make_cache: CacheMaker, tmp_path: Path) -> None:
    failure = {"fold": "1", "seed": 0, "reason": "the loss is nan"}
    train = FakeTrainer({"a": 0.5}, failed_runs=[failure])
    result = run_grid(make_cache(), grid_of(row("a")), tmp_path, train=train)
    assert result.failed
    assert [(each["status"], each["failed_runs"]) for each in result.values["rows"]] == [("done", [failure])]
    assert result.values["comparisons"] == []


def test_a_grid_of_which_every_row_fails_still_ends(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({}, {"a": HeadError("x"), "b": HeadError("y")})
    result = run_grid(make_cache(), grid_of(row("a"), row("b", hidden=5)), tmp_path, train=train)
    assert [each["failure"] for each in result.values["rows"]] == ["x", "y"]
    assert result.values["comparisons"] == []


def test_rows_of_other_classes_are_not_compared_and_named(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.9, "b": 0.5, "c": 0.4}, classes={"b": ("one", "two", "three", "four")})
    result = run_grid(make_cache(), grid_of(row("a"), row("b", hidden=5), row("c", hidden=6)), tmp_path, train=train)
    assert [each["row"] for each in result.values["comparisons"]] == ["c"]
    assert result.values["not_compared"] == {"b": "its classes are not those of a"}


def test_rows_without_a_common_run_are_not_compared_and_named(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.9, "b": 0.5})
    result = run_grid(make_cache(), grid_of(row("a"), row("b", seeds=(7, 8))), tmp_path, train=train)
    assert result.values["comparisons"] == []
    assert set(result.values["not_compared"]) == {"a", "b"}
    assert "no (fold, seed) in common" in result.values["not_compared"]["b"]


def test_rows_share_one_store_unless_their_device_or_limits_differ(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.5, "b": 0.5, "c": 0.5})
    run_grid(make_cache(), grid_of(row("a"), row("b", hidden=5), row("c", hidden=6, ram_gib=1.0)), tmp_path, train=train)
    first, second, third = train.stores
    assert first is second
    assert third is not first


def test_what_the_cache_lacks_is_said_for_all_rows_before_anything_is_trained(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.5})
    grid = grid_of(
        row("a"),
        row("b", granularities=("F", "W")),
        row("c", granularities=("P", "S", "W"), folds=("1", "9")),
        row("d", layers=(2, 12)),
    )
    with pytest.raises(GridError, match="the cache holds") as problem:
        run_grid(make_cache(), grid, tmp_path, train=train)
    assert str(problem.value).splitlines() == [
        "the cache holds F+S+T; `mer extract --granularity F+P+S+W+T` makes one that does for",
        "  b: needs W",
        "  c: needs P+W",
        "the cache has no session 9 to test on, only 1, 2, 3: extract it first (`mer extract --session ...`) or leave it out of "
        "folds",
        "d: layers 12 of F are not in the cache, which holds 1, 2, 3: `mer extract --layers ...` makes one that holds them",
        "d: layers 12 of T are not in the cache, which holds 1, 2, 3: `mer extract --layers ...` makes one that holds them",
    ]
    with pytest.raises(HeadError, match="device cuda:97 is not there"):
        run_grid(make_cache(), grid_of(row("a", device="cuda:97")), tmp_path, train=train)
    assert train.trained == []
    assert list(tmp_path.iterdir()) == []


def test_other_rows_another_cache_or_one_that_has_grown_have_their_own_folder(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache, other, grown = make_cache(), make_cache(), make_cache(each=20)
    other.key = "fedcba"
    train = FakeTrainer({"a": 0.5, "b": 0.5})
    grids = [(cache, grid_of(row("a"))), (cache, grid_of(row("a", hidden=5))), (cache, grid_of(row("a", 60.0)))]
    grids += [(cache, grid_of(row("b"))), (other, grid_of(row("a"))), (grown, grid_of(row("a")))]
    folders = [run_grid(which, grid, tmp_path, train=train).directory for which, grid in grids]
    assert len(set(folders)) == len(grids)
    assert run_grid(cache, grid_of(row("a", ram_gib=3.0, stack=2)), tmp_path, train=train).directory == folders[0]


def test_a_row_of_another_grid_is_not_trained_again(make_cache: CacheMaker, tmp_path: Path) -> None:
    run_grid(make_cache(), grid_of(REAL.rows[0]), tmp_path)
    result = run_grid(make_cache(), grid_of(row("called otherwise", 10.0), REAL.rows[1]), tmp_path)
    assert [each.result is not None and each.result.reused for each in result.rows] == [True, False]


def test_progress_tells_what_happens_in_order(make_cache: CacheMaker, tmp_path: Path) -> None:
    events: list[GridEvent] = []
    run_grid(make_cache(), REAL, tmp_path, progress=events.append)
    kinds = (GridStarted, RowStarted, TrainingStarted, RowDone, ComparisonStarted)
    shown = [type(event) for event in events if isinstance(event, kinds)]
    assert shown == [GridStarted, *4 * [RowStarted, TrainingStarted, RowDone], ComparisonStarted]
    names = [(event.row, event.rows, event.name) for event in events if isinstance(event, RowStarted)]
    assert names == [(1, 4, "late F"), (2, 4, "text"), (3, 4, "late F+S"), (4, 4, "both levels")]


def test_costs_grow_with_units_runs_attention_and_heads(make_cache: CacheMaker) -> None:
    cache = make_cache()
    units = {name: sum(len(array) for array in cache.units[name]) for name in "FST"}
    rows = [
        row("F", modality="speech", fusion="linear"),
        row("S", modality="speech", fusion="linear", granularities=("S",)),
        row("one fold", modality="speech", fusion="linear", folds=("1",)),
        row("transformer", modality="speech", fusion="transformer", attention_heads=2),
        row("late"),
        row("multi", None, TINY, fusion="coattention", attention_heads=2),
        row("one layer", modality="speech", fusion="linear", layers=(2,)),
    ]
    cost = dict(zip([each.name for each in rows], row_costs(cache, grid_of(*rows)), strict=True))
    assert cost["F"] / cost["S"] == pytest.approx(units["F"] / units["S"], rel=1e-12)
    assert cost["F"] == pytest.approx(3 * cost["one fold"], rel=1e-12)
    assert cost["transformer"] > cost["F"] > cost["one layer"]
    assert cost["late"] == pytest.approx(cost["F"] * (units["F"] + units["T"]) / units["F"], rel=1e-12)
    assert cost["multi"] > cost["late"] + cost["transformer"]


def test_the_meter_reaches_its_end_and_never_runs_backwards(make_cache: CacheMaker, tmp_path: Path) -> None:
    for stop in (None, _stop_at(2, 1)):
        meter = GridMeter()
        seen: list[float] = []

        def watch(event: GridEvent, meter: GridMeter = meter, seen: list[float] = seen, stop: Any = stop) -> None:
            meter.take(event)
            seen.append(meter.done)
            if stop is not None:
                stop(event)

        folder = tmp_path / str(stop is None)
        if stop is None:
            run_grid(make_cache(), REAL, folder, progress=watch)
        else:
            with pytest.raises(KeyboardInterrupt):
                run_grid(make_cache(), REAL, folder, progress=watch)
            assert 0 < seen[-1] < meter.total
            whole, meter, seen = meter.total, GridMeter(), []
            run_grid(make_cache(), REAL, folder, progress=partial(watch, meter=meter, seen=seen, stop=None))
            assert meter.total < whole
        assert seen == sorted(seen)
        assert len(set(seen)) > 5
        assert seen[-1] == pytest.approx(meter.total, rel=1e-9)


def test_the_meter_counts_both_heads_of_a_multi_level_row_and_leaves_out_what_was_finished() -> None:
    meter = GridMeter()
    meter.take(GridStarted(costs=(10.0, 100.0, 1.0)))
    meter.take(RowStarted(row=1, rows=3, name="there already", parts=1))
    meter.take(_done(1, reused=True))
    assert (meter.done, meter.total) == (0.0, 101.0)
    meter.take(RowStarted(row=2, rows=3, name="two heads", parts=2))
    meter.take(TrainingStarted(runs=4, finished=1, device="cpu", stack=1, features=""))
    assert meter.total == pytest.approx(101.0 - 50 / 4)
    meter.take(_epoch(run=2, epoch=1))
    # A first guess of 2 epochs (the most there are) for each of three runs.
    assert meter.done == pytest.approx(37.5 / 6)
    for epoch in (2, 3, 4, 5, 6, 7, 8):
        meter.take(_epoch(run=2, epoch=epoch))
        assert meter.done <= 37.5
    meter.take(TrainingStarted(runs=4, finished=0, device="cpu", stack=1, features=""))
    meter.take(_epoch(run=1, epoch=1))
    assert meter.done == pytest.approx(37.5 + 50 / 8)
    meter.take(_done(2, reused=False))
    assert meter.done == pytest.approx(87.5)
    assert meter.total == pytest.approx(88.5)


def _epoch(*, run: int, epoch: int) -> EpochDone:
    numbers: dict[str, Any] = {"train_loss": 1.0, "validation_loss": 1.0, "validation_ua": 0.5}
    return EpochDone(run=run, runs=4, over=0, fold="1", seed=0, epoch=epoch, max_epochs=2, **numbers)


def _done(number: int, *, reused: bool) -> RowDone:
    return RowDone(row=number, rows=3, name="", reused=reused, ua=0.5, failure=None)
