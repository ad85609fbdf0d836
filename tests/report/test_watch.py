import io
import json
import os
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


def train(folder: Path, fold: str, seed: int, *scores: float, torn: str = "") -> Path:
    """What a run that trains has written so far."""
    (folder / "running").mkdir(exist_ok=True)
    lines = [
        json.dumps({"fold": fold, "seed": seed, "epoch": place, "train_loss": 1.25, "validation_loss": 1.5, "validation_ua": ua})
        for place, ua in enumerate(scores, start=1)
    ]
    file = folder / "running" / f"fold{fold}-seed{seed}.jsonl"
    file.write_text("\n".join([*lines, torn]))
    return file


def test_every_run_has_its_last_epoch_and_its_best(tmp_path: Path) -> None:
    train(tmp_path, "1", 0, 0.4, 0.7, 0.6)
    train(tmp_path, "2", 0, 0.25, 0.5, torn='{"fold": "2", "se')
    (tmp_path / "finished").mkdir()
    epochs = [{"epoch": 1, "train_loss": 1.0, "validation_loss": 2.0, "validation_ua": 0.3}]
    ended = {"fold": "3", "seed": 0, "best_epoch": 1, "epochs": epochs}
    (tmp_path / "finished" / "fold3-seed0.json").write_text(json.dumps(ended))
    text = shown(tmp_path)
    assert f"{tmp_path.name}: not finished, 1 run ended, 6 epochs" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["1", "0", "3", "1.250", "1.500", "60.00", "70.00", "▁█▆"] in rows
    assert ["2", "0", "2", "1.250", "1.500", "50.00", "50.00", "▁█"] in rows
    assert ["3", "0", "1", "1.000", "2.000", "30.00", "30.00", "▄"] in rows
    assert not is_finished(tmp_path)
    (tmp_path / "result.json").touch()
    assert "finished" in shown(tmp_path)


def test_before_the_first_epoch_it_says_so(tmp_path: Path) -> None:
    assert "no epoch yet, 0 epochs" in shown(tmp_path)


def test_a_run_that_ended_without_a_number_is_said(tmp_path: Path) -> None:
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "fold1-seed0.json").write_text(json.dumps({"fold": "1", "seed": 0, "reason": "loss is nan [red]"}))
    text = shown(tmp_path)
    assert "not finished, 1 run ended" in text
    assert "failed: fold 1 seed 0: loss is nan [red]" in text


def test_the_runs_that_moved_last_are_shown(tmp_path: Path) -> None:
    for seed in range(14):
        # The first was written last.
        os.utime(train(tmp_path, "1", seed, 0.5), ns=(0, 10**9 * ((seed - 1) % 14)))
    rows = [line.split()[:3] for line in shown(tmp_path).splitlines() if line.strip().startswith("1 ")]
    assert rows[-1] == ["1", "0", "1"]
    assert [row[1] for row in rows[:-1]] == [str(seed) for seed in range(3, 14)]
    assert "and 2 earlier runs" in shown(tmp_path)


@pytest.mark.parametrize(("values", "bars"), [([], ""), ([0.5], "▄"), ([0.0, 1.0], "▁█"), ([3.0, 3.0], "▄▄")])
def test_a_sparkline_spans_its_own_range(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars


@given(st.lists(st.floats(min_value=0, max_value=1), max_size=60))
def test_a_sparkline_shows_the_last_values_only(values: list[float]) -> None:
    assert len(sparkline(values)) == min(30, len(values))
