import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mer.report.watch import is_finished, sparkline, watch_view


def shown(folder: Path) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(watch_view(folder))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_run_has_its_last_epoch_and_its_best(tmp_path: Path) -> None:
    scores = {("1", 0): (0.4, 0.7, 0.6), ("2", 0): (0.25, 0.5)}
    lines = [
        json.dumps({"fold": fold, "seed": seed, "epoch": place, "train_loss": 1.25, "validation_loss": 1.5, "validation_ua": ua})
        for (fold, seed), each in scores.items()
        for place, ua in enumerate(each, start=1)
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"fold": "2", "se']))
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished" / "fold1-seed0.json").touch()
    text = shown(tmp_path)
    assert f"{tmp_path.name}: training: 1 run ended, 5 epochs" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["1", "0", "3", "1.250", "1.500", "60.00", "70.00", "▁█▆"] in rows
    assert ["2", "0", "2", "1.250", "1.500", "50.00", "50.00", "▁█"] in rows
    assert not is_finished(tmp_path)
    (tmp_path / "result.json").touch()
    assert "finished" in shown(tmp_path)


def test_before_the_first_epoch_it_says_so(tmp_path: Path) -> None:
    assert "no epoch yet, 0 epochs" in shown(tmp_path)


def test_the_runs_that_moved_last_are_shown(tmp_path: Path) -> None:
    lines = [{"fold": "1", "seed": seed, "epoch": 1, "validation_ua": 0.5} for seed in range(14)]
    lines.append({"fold": "1", "seed": 0, "epoch": 2, "validation_ua": 0.5})
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    rows = [line.split()[:3] for line in shown(tmp_path).splitlines() if line.strip().startswith("1 ")]
    assert rows[-1] == ["1", "0", "2"]
    assert len(rows) == 12
    assert "and 2 earlier runs" in shown(tmp_path)


@pytest.mark.parametrize(("values", "bars"), [([], ""), ([0.5], "▄"), ([0.0, 1.0], "▁█"), ([3.0, 3.0], "▄▄")])
def test_a_sparkline_spans_its_own_range(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars


@given(st.lists(st.floats(min_value=0, max_value=1), max_size=60))
def test_a_sparkline_shows_the_last_values_only(values: list[float]) -> None:
    assert len(sparkline(values)) == min(30, len(values))
