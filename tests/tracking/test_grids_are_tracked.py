from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mer.backends import Notice
from mer.grids.grid import Grid, GridRow
from mer.grids.head_tasks import HeadTasks
from mer.grids.run_grid import run_grid
from mer.tests.grids.in_turn import InTurn
from mer.tests.tracking.test_heads_are_tracked import CONFIG, Failing, check
from mer.tests.tracking.told import told
from mer.tracking import TRACKERS, TrackingError

CacheMaker = Callable[..., Any]


def grid(**settings: Any) -> Grid[Any]:
    narrow = replace(CONFIG, **settings)
    rows = tuple(GridRow(name=f"hidden {each.hidden}", configs=(each,)) for each in (narrow, replace(narrow, hidden=4)))
    return Grid(name="widths", title="Widths", rows=rows)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_every_row_is_tracked_as_the_result_that_it_is_also_by_workers(
    elsewhere: bool, make_cache: CacheMaker, tmp_path: Path, offline: Path
) -> None:
    cache = make_cache()
    kind = HeadTasks(cache, tmp_path / "runs", workers=2, open_features=(lambda: cache) if elsewhere else None)
    where: dict[str, Any] = {"backend": InTurn(twice=True)} if elsewhere else {}
    result = run_grid(grid(track="tensorboard"), kind, **where)
    for row in result.rows:
        assert row.result is not None
        check(told("tensorboard", row.result.directory), row.result.directory, row.result.values)


def test_a_row_whose_tracker_fails_has_its_result_and_says_so(
    make_cache: CacheMaker, tmp_path: Path, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRACKERS._entries, "failing", Failing(0))
    events: list[Any] = []
    result = run_grid(grid(track="failing"), HeadTasks(make_cache(), tmp_path), progress=events.append)
    assert not result.failed
    notes = [event.text for event in events if isinstance(event, Notice)]
    assert len(notes) == 2
    assert "the result is whole, and tracking it with failing failed (ConnectionError: nobody answers)" in notes[0]


def test_a_grid_without_the_package_is_refused_before_its_first_row(
    make_cache: CacheMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.tracking.tracker_kind.find_spec", lambda name: None)
    with pytest.raises(TrackingError, match="is not installed"):
        run_grid(grid(track="mlflow"), HeadTasks(make_cache(), tmp_path))
    assert list(tmp_path.iterdir()) == []
