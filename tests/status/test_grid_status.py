import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.status.grid_status import GridStatus, read_grid_status

NOW = 1_000_000.0
KEY = "0123456789ab" + "0" * 52
Put = Callable[[Path, object], Path]


def settings(fusion: str) -> dict[str, Any]:
    return {"fusion": fusion, "branches": ["F", "T"], "seeds": [0, 1], "folds": ["1", "2", "3"]}


def pending(name: str, *fusions: str) -> dict[str, Any]:
    return {"name": name, "status": "pending", "configs": [settings(each) for each in fusions], "published_ua": 70.5}


@pytest.fixture
def grid(tmp_path: Path, put: Put) -> Callable[..., GridStatus]:
    def look(*rows: dict[str, Any], key: str | None = KEY) -> GridStatus:
        document = {"grid": {"name": "table"}, "corpus": "toy", "cache_key": key, "rows": rows}
        put(tmp_path / "runs" / "toy-table-1" / "grid.json", document)
        found = read_grid_status(tmp_path / "runs" / "toy-table-1", tmp_path, NOW)
        assert found is not None
        return found

    return look


def test_rows_are_done_running_waiting_and_failed(
    grid: Callable[..., GridStatus], begin_run: Callable[..., Path], put: Put, result: dict[str, Any]
) -> None:
    done = begin_run("toy-done")
    put(done / "result.json", result)
    running = begin_run("toy-running", fusion="concatenation")
    put(running / "running" / "fold1-seed0.jsonl", {"epoch": 1})
    found = grid(
        {**pending("a", "late"), "status": "done", "directory": "toy-done", "summary": result["summary"]},
        pending("b", "concatenation"),
        pending("c", "linear"),
        {**pending("d", "transformer"), "status": "failed", "failure": "no such granularity"},
    )
    assert [(row.name, row.state, row.failure) for row in found.rows] == [
        ("a", "done", None),
        ("b", "running", None),
        ("c", "waiting", None),
        ("d", "done", "no such granularity"),
    ]
    assert (found.rows[0].ua, found.rows[0].published_ua) == (0.75, 70.5)
    assert [run.directory.name for row in found.rows for run in row.runs] == ["toy-done", "toy-running"]
    assert (found.name, found.corpus, found.state) == ("table", "toy", "running")


def test_a_row_with_a_result_is_done_before_the_grid_says_so(
    grid: Callable[..., GridStatus], begin_run: Callable[..., Path], put: Put, result: dict[str, Any]
) -> None:
    put(begin_run() / "result.json", result)
    found = grid(pending("a", "late"))
    assert (found.state, found.rows[0].state, found.rows[0].ua) == ("done", "done", 0.75)


def test_a_row_of_two_heads_is_done_when_the_grid_says_so(
    grid: Callable[..., GridStatus], begin_run: Callable[..., Path], put: Put, result: dict[str, Any]
) -> None:
    put(begin_run("one") / "result.json", result)
    other = begin_run("two", fusion="coattention")
    row = grid(pending("a", "late", "coattention")).rows[0]
    assert ([run.state for run in row.runs], row.state) == (["done", "waiting"], "waiting")
    put(other / "finished" / "fold1-seed0.json", {})
    assert grid(pending("a", "late", "coattention")).rows[0].state == "running"
    put(other / "result.json", result)
    assert grid(pending("a", "late", "coattention")).rows[0].state == "waiting"


def test_runs_of_another_cache_or_other_settings_are_not_a_rows_own(
    grid: Callable[..., GridStatus], begin_run: Callable[..., Path], put: Put, tmp_path: Path
) -> None:
    begin_run("toy-other", seeds=[0])
    put(tmp_path / "runs" / "toy-empty" / "config.json", {"config": {}, "cache_key": KEY})
    assert grid(pending("a", "late")).rows[0].runs == ()
    begin_run("toy-own")
    assert grid(pending("a", "late"), key="f" * 64).rows[0].runs == ()
    assert len(grid(pending("a", "late")).rows[0].runs) == 1


def test_of_two_runs_with_a_rows_settings_the_newer_is_meant(
    grid: Callable[..., GridStatus], begin_run: Callable[..., Path]
) -> None:
    for name, moment in (("b-old", NOW - 50), ("a-new", NOW - 5), ("c-old", NOW - 70)):
        os.utime(begin_run(name), (moment, moment))
    assert [run.directory.name for run in grid(pending("a", "late")).rows[0].runs] == ["a-new"]


def test_a_fine_tuning_has_fewer_settings_than_its_row(grid: Callable[..., GridStatus], put: Put, tmp_path: Path) -> None:
    put(tmp_path / "runs" / "toy-finetune" / "config.json", {"config": settings("ca"), "encoders": {}})
    row = pending("a", "ca")
    row["configs"][0]["speech_model"] = "small"
    assert len(grid(row, key=None).rows[0].runs) == 1


@pytest.mark.parametrize("text", [None, "", '{"rows": [', "[]"])
def test_a_grid_that_is_gone_or_torn_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "grid.json").write_text(text)
    assert read_grid_status(tmp_path, tmp_path, NOW) is None


@pytest.mark.parametrize("document", [{}, {"rows": [3, {}]}, {"rows": [{"configs": [3]}], "grid": 3}])
def test_a_grid_of_another_kind_is_no_error(tmp_path: Path, put: Put, document: object) -> None:
    put(tmp_path / "grid.json", document)
    found = read_grid_status(tmp_path, tmp_path, NOW)
    assert found is not None
    assert found.state == "waiting"
