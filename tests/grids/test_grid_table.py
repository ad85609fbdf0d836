"""The table of a grid of heads, with results of which a known share is right."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.backends import Slot, Task, TaskDone
from mer.backends.device import DeviceError
from mer.grids.grid import Grid, GridError, GridRow
from mer.grids.grid_cost import row_costs
from mer.grids.grid_events import ComparisonStarted, RowDone
from mer.grids.grid_table import GridTable
from mer.grids.head_tasks import HeadTasks
from mer.grids.run_grid import GridTask, run_grid
from mer.heads import HeadConfig, HeadError, Result
from mer.protocol import ProtocolError, RunPredictions, summarise

CacheMaker = Callable[..., Any]
CLASSES = ("angry", "happy", "sad", "neutral")
TINY = HeadConfig(granularities=("F",), hidden=4, max_epochs=2, learning_rate=0.02, batch=8, seeds=(0, 1), device="cpu")


def row(name: str, published: float | None = None, *others: HeadConfig, **options: Any) -> GridRow[HeadConfig]:
    return GridRow(name=name, configs=(replace(TINY, **options), *others), published_ua=published, setup={})


def grid_of(*rows: GridRow[HeadConfig]) -> Grid[HeadConfig]:
    return Grid(name="own table", title="Mine", paper="Nobody 2000", paper_seeds=3, rows=rows)


@dataclass
class FakeTrainer:
    """Gives each row answers of which a known share is right; `trouble` is raised instead."""

    right: Mapping[str, float]
    trouble: Mapping[str, BaseException] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trained: list[str] = field(default_factory=list)
    failed_runs: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, cache: Any, row: GridRow[HeadConfig], runs: Path) -> Result:
        if row.name in self.trouble:
            raise self.trouble[row.name]
        self.trained.append(row.name)
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


class FakeTasks(HeadTasks):
    """Every row is a task that trains nothing."""

    def __init__(self, cache: Any, runs: Path, train: FakeTrainer) -> None:
        super().__init__(cache, runs)
        self._fake = train

    def plan(self, table: GridTable[HeadConfig]) -> list[GridTask]:
        rows = enumerate(table.grid.rows, 1)
        return [GridTask(task=Task(name=row.name, cost=1.0, content=row), rows=(number,), runs=1) for number, row in rows]

    def begin(self, tasks: Any) -> None:
        """Nothing is kept of a start."""

    def work(self) -> Any:
        return FakeWork(self._fake)

    def result(self, number: int, row: GridRow[HeadConfig]) -> Result:
        return self._fake(self._cache, row, self.runs)


@dataclass
class FakeWork:
    """Raises what is no error of a row's own."""

    train: FakeTrainer

    @contextmanager
    def open(self, slot: Slot) -> Iterator["FakeWork"]:
        yield self

    def is_done(self, task: Task) -> bool:
        return False

    def do(self, task: Task, *, share: float, tell: Callable[[object], None]) -> None:
        trouble = self.train.trouble.get(task.name)
        if trouble is not None and not isinstance(trouble, HeadTasks.recorded):
            raise trouble
        tell(TaskDone(name=task.name))

    def finish(self) -> None:
        """Nothing is under way."""


def fill(cache: Any, grid: Grid[HeadConfig], runs: Path, train: FakeTrainer, **options: Any) -> Any:
    return run_grid(grid, FakeTasks(cache, runs, train), **options)


def saved(folder: Path) -> Any:
    return json.loads((folder / "grid.json").read_text())


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
    result = fill(make_cache(), grid, tmp_path, FakeTrainer({"a": 0.6}))
    (found,) = result.values["rows"]
    assert found["setup"] == said
    assert [found[name] for name in ("published_ua", "published_wa", "paper", "paper_wa")] == [None] * 4
    assert "71.5" not in (result.directory / "grid.json").read_text()


def test_the_paper_stands_beside_the_rows_it_has_figures_for(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.6, "b": 0.7})
    grid = grid_of(row("a", 71.5), row("b", hidden=5))
    rows = fill(make_cache(), grid, tmp_path, train).values["rows"]
    ours = rows[0]["summary"]["all"]["ua"]
    assert [each["published_ua"] for each in rows] == [71.5, None]
    assert rows[0]["setup"] == {"differs": [], "unknown": []}
    assert rows[1]["paper"] is None
    paper = rows[0]["paper"]
    assert paper["published"] == pytest.approx(0.715, rel=1e-12)
    assert paper["difference"] == pytest.approx(ours["mean_of_folds"] - 0.715, rel=1e-12)
    # t(0.975, 1) = tan(0.475 pi), means of two seeds of ours and of three of the paper's.
    noise = np.tan(0.475 * np.pi) * ours["std_seeds"] * np.sqrt(1 / 2 + 1 / 3)
    assert noise > 0
    assert paper["noise"] == pytest.approx(noise, rel=1e-9)
    assert paper["verdict"] == ("inside" if abs(paper["difference"]) <= noise else "outside")


def test_rows_are_compared_with_the_best(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.6, "b": 0.9, "c": 0.9, "d": 0.3})
    grid = grid_of(row("a"), row("b", hidden=5), row("c", hidden=6), row("d", hidden=7))
    rows = fill(make_cache(), grid, tmp_path, train).values["comparisons"]
    assert [(each["row"], each["reference"], each["pairs"]) for each in rows] == [("a", "b", 6), ("c", "b", 6), ("d", "b", 6)]
    ua = {
        each["name"]: each["summary"]["all"]["ua"]["mean_of_folds"]
        for each in saved(next(tmp_path.glob("planted-own-table-*")))["rows"]
    }
    assert [each["difference"] for each in rows] == pytest.approx([ua["a"] - ua["b"], 0.0, ua["d"] - ua["b"]], abs=1e-12)
    assert rows[1]["p"] == 1.0
    assert rows[2]["p_holm"] == pytest.approx(3 * min(each["p"] for each in rows), rel=1e-9)


def test_a_row_that_fails_is_recorded_and_the_others_go_on(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer(
        {"a": 0.5, "d": 0.8},
        {"b": HeadError("no run ended with a number"), "c": ProtocolError("no training utterance of class sad")},
    )
    events: list[object] = []
    grid = grid_of(row("a"), row("b", hidden=5), row("c", hidden=6), row("d", hidden=7))
    result = fill(make_cache(), grid, tmp_path, train, progress=events.append)
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
        fill(make_cache(), grid_of(row("a")), tmp_path, train)


def test_a_failed_run_makes_the_grid_failed_but_not_the_row(make_cache: CacheMaker, tmp_path: Path) -> None:
    failure = {"fold": "1", "seed": 0, "reason": "the loss is nan"}
    train = FakeTrainer({"a": 0.5}, failed_runs=[failure])
    result = fill(make_cache(), grid_of(row("a")), tmp_path, train)
    assert result.failed
    assert [(each["status"], each["failed_runs"]) for each in result.values["rows"]] == [("done", [failure])]
    assert result.values["comparisons"] == []


def test_a_grid_of_which_every_row_fails_still_ends(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({}, {"a": HeadError("x"), "b": HeadError("y")})
    result = fill(make_cache(), grid_of(row("a"), row("b", hidden=5)), tmp_path, train)
    assert [each["failure"] for each in result.values["rows"]] == ["x", "y"]
    assert result.values["comparisons"] == []


def test_rows_of_other_classes_are_not_compared_and_named(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.9, "b": 0.5, "c": 0.4}, classes={"b": ("one", "two", "three", "four")})
    result = fill(make_cache(), grid_of(row("a"), row("b", hidden=5), row("c", hidden=6)), tmp_path, train)
    assert [each["row"] for each in result.values["comparisons"]] == ["c"]
    assert result.values["not_compared"] == {"b": "its classes are not those of a"}


def test_rows_without_a_common_run_are_not_compared_and_named(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.9, "b": 0.5})
    result = fill(make_cache(), grid_of(row("a"), row("b", seeds=(7, 8))), tmp_path, train)
    assert result.values["comparisons"] == []
    assert set(result.values["not_compared"]) == {"a", "b"}
    assert "no (fold, seed) in common" in result.values["not_compared"]["b"]


def test_what_the_cache_lacks_is_said_for_all_rows_before_anything_is_trained(make_cache: CacheMaker, tmp_path: Path) -> None:
    train = FakeTrainer({"a": 0.5})
    grid = grid_of(
        row("a"),
        row("b", granularities=("F", "W")),
        row("c", granularities=("P", "S", "W"), folds=("1", "9")),
        row("d", layers=(2, 12)),
    )
    with pytest.raises(GridError, match="the cache holds") as problem:
        fill(make_cache(), grid, tmp_path, train)
    assert str(problem.value).splitlines() == [
        "the cache holds F+S+T; `mer extract --granularity F+P+S+W+T` makes one that does for",
        "  b: needs W",
        "  c: needs P+W",
        "there is no session 9 to test on, only 1, 2, 3: extract it first (`mer extract --session ...`) or leave it out of "
        "--folds",
        "d: layers 12 of F are not in the cache, which holds 1, 2, 3: `mer extract --layers ...` makes one that holds them",
        "d: layers 12 of T are not in the cache, which holds 1, 2, 3: `mer extract --layers ...` makes one that holds them",
    ]
    with pytest.raises(DeviceError, match=r"device 'cuda:97': this machine shows \d+ CUDA devices"):
        fill(make_cache(), grid_of(row("a", device="cuda:97")), tmp_path, train)
    assert train.trained == []
    assert list(tmp_path.iterdir()) == []


def test_other_rows_another_cache_or_one_that_has_grown_have_their_own_folder(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache, other, grown = make_cache(), make_cache(), make_cache(each=20)
    other.key = "fedcba"
    train = FakeTrainer({"a": 0.5, "b": 0.5})
    grids = [(cache, grid_of(row("a"))), (cache, grid_of(row("a", hidden=5))), (cache, grid_of(row("a", 60.0)))]
    grids += [(cache, grid_of(row("b"))), (other, grid_of(row("a"))), (grown, grid_of(row("a")))]
    folders = [fill(which, grid, tmp_path, train).directory for which, grid in grids]
    assert len(set(folders)) == len(grids)
    assert fill(cache, grid_of(row("a", ram_gib=3.0, stack=2)), tmp_path, train).directory == folders[0]


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
