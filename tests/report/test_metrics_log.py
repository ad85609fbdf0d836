import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.report import read_run
from mer.results.metrics_log import read_metrics

ANSWERS = {("1", 0): "aasa", ("2", 0): "aass"}
Make = Callable[..., Path]


def line(fold: str, seed: int, epoch: int, **values: Any) -> str:
    return json.dumps({"fold": fold, "seed": seed, "epoch": epoch, **values}) + "\n"


def epochs(folder: Path) -> list[tuple[str, int, int]]:
    return [(each["fold"], each["seed"], each["epoch"]) for each in read_metrics(folder).epochs]


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A run directory where nothing has happened yet."""
    for name in ("running", "finished", "failed"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_folder_without_anything_has_no_epochs(tmp_path: Path) -> None:
    log = read_metrics(tmp_path)
    assert (log.epochs, dict(log.kept), dict(log.failed), log.notes) == ((), {}, {}, ())


def test_before_the_result_epochs_are_of_runs_that_ended_and_of_runs_that_train(training: Path) -> None:
    ended = {"fold": "1", "seed": 0, "best_epoch": 1, "epochs": [{"epoch": 1, "validation_ua": 0.5}, {"epoch": 2}]}
    (training / "finished" / "fold1-seed0.json").write_text(json.dumps(ended))
    (training / "running" / "fold2-seed0.jsonl").write_text(line("2", 0, 1) + line("2", 0, 2))
    (training / "failed" / "fold3-seed0.json").write_text(json.dumps({"fold": "3", "seed": 0, "reason": "loss is nan"}))
    # Of another time: with no result it says nothing.
    (training / "metrics.jsonl").write_text(line("9", 9, 9))
    log = read_metrics(training)
    assert epochs(training) == [("1", 0, 1), ("1", 0, 2), ("2", 0, 1), ("2", 0, 2)]
    assert log.epochs[0]["validation_ua"] == 0.5
    assert (dict(log.kept), dict(log.failed), log.notes) == ({("1", 0): 1}, {("3", 0): "loss is nan"}, ())
    (training / "result.json").touch()
    assert epochs(training) == [("9", 9, 9)]


def test_a_run_that_ended_counts_and_what_it_told_before_does_not(training: Path) -> None:
    (training / "running" / "fold1-seed0.jsonl").write_text(line("1", 0, 1) + line("1", 0, 2) + line("1", 0, 3))
    ended = {"fold": "1", "seed": 0, "best_epoch": 1, "epochs": [{"epoch": 1}]}
    (training / "finished" / "fold1-seed0.json").write_text(json.dumps(ended))
    assert epochs(training) == [("1", 0, 1)]


def test_an_epoch_that_was_trained_twice_counts_once_as_it_was_last(training: Path) -> None:
    first = line("1", 0, 2, train_loss=2.0) + line("1", 0, 1, train_loss=3.0)
    (training / "running" / "fold1-seed0.jsonl").write_text(first + line("1", 0, 1, train_loss=1.0))
    assert [(each["epoch"], each["train_loss"]) for each in read_metrics(training).epochs] == [(1, 1.0), (2, 2.0)]


def test_a_torn_last_line_of_a_run_that_trains_is_being_written(training: Path) -> None:
    (training / "running" / "fold1-seed0.jsonl").write_text(line("1", 0, 1) + line("1", 0, 2)[:-5])
    assert epochs(training) == [("1", 0, 1)]
    assert read_metrics(training).notes == ()


def test_damage_is_said_with_its_file(training: Path) -> None:
    (training / "running" / "fold1-seed0.jsonl").write_text(
        "\0\0\n" + line("1", 0, 2) + '{"fold": "1", "seed": "x", "epoch": 3}\n'
    )
    (training / "finished" / "fold2-seed0.json").write_text('{"fold": "2"}')
    assert epochs(training) == [("1", 0, 2)]
    assert read_metrics(training).notes == (
        "finished/fold2-seed0.json: is damaged and was left out",
        "running/fold1-seed0.jsonl: 2 damaged lines were left out, first 1",
    )


def test_the_run_that_moved_last_is_last(training: Path) -> None:
    for seed in range(3):
        file = training / "running" / f"fold1-seed{seed}.jsonl"
        file.write_text(line("1", seed, 1))
        os.utime(file, ns=(0, 10**9 * (seed + 1) % (3 * 10**9)))
    assert [seed for _, seed, _ in epochs(training)] == [2, 0, 1]


@pytest.mark.parametrize("cut", [1, 20, 80])
def test_a_torn_last_line_of_a_result_is_left_out_and_said(tmp_path: Path, make_run: Make, cut: int) -> None:
    folder = make_run(tmp_path / "run", ANSWERS)
    log = folder / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[: -1 - cut])
    assert len(epochs(folder)) == 5
    assert read_run(folder).notes == ("metrics.jsonl: the last line is torn and was left out",)


def test_a_last_line_that_only_lacks_its_end_counts(tmp_path: Path, make_run: Make) -> None:
    folder = make_run(tmp_path / "run", ANSWERS)
    log = folder / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-1])
    assert (len(epochs(folder)), read_metrics(folder).notes) == (6, ())


def test_damage_inside_the_log_of_a_result_is_counted(tmp_path: Path, make_run: Make) -> None:
    folder = make_run(tmp_path / "run", ANSWERS)
    lines = (folder / "metrics.jsonl").read_bytes().splitlines()
    lines[1], lines[3] = b"\xff\xfe\x00", b"[1]"
    (folder / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert len(epochs(folder)) == 4
    assert read_run(folder).notes == ("metrics.jsonl: 2 damaged lines were left out, first 2",)
    lines[1] = b""
    (folder / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert read_run(folder).notes == ("metrics.jsonl: 1 damaged line was left out, line 4",)
