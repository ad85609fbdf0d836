import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.files.processes import host, this_process
from mer.status.run_status import read_run_status

NOW = 1_000_000.0
Put = Callable[[Path, object], Path]


def set_times(directory: Path, moment: float) -> None:
    for path in [directory, *directory.rglob("*")]:
        os.utime(path, (moment, moment))


def epochs(directory: Path, stem: str, *lines: str) -> Path:
    path = directory / "running" / f"{stem}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines))
    return path


def epoch(number: int, ua: float | None = 0.5) -> str:
    return json.dumps({"fold": "1", "seed": 0, "epoch": number, "validation_ua": ua}) + "\n"


def test_a_run_that_trains_says_its_folds_seeds_and_epochs(begin_run: Callable[..., Path], put: Put) -> None:
    directory = begin_run()
    put(directory / "finished" / "fold1-seed0.json", {})
    put(directory / "finished" / "fold1-seed1.json", {})
    put(directory / "failed" / "fold2-seed0.json", {"fold": "2", "seed": 0, "reason": "loss is not finite"})
    first = epochs(directory, "fold2-seed1", epoch(1), epoch(2, 0.625))
    second = epochs(directory, "fold3%20a-seed0", epoch(1), epoch(2), epoch(3, 0.5), '{"fold": "3", "se')
    set_times(directory, NOW - 100)
    os.utime(first, (NOW - 9, NOW - 9))
    os.utime(second, (NOW - 5, NOW - 5))
    found = read_run_status(directory, directory / "none", NOW)
    assert (found.name, found.state, found.finished, found.total, found.last) == ("late F+T", "running", 2, 6, NOW - 5)
    assert [(run.fold, run.seed, run.epoch, run.validation_ua) for run in found.running] == [
        ("3 a", 0, 3, 0.5),
        ("2", 1, 2, 0.625),
    ]
    assert [(each.fold, each.seed, each.reason) for each in found.failed] == [("2", 0, "loss is not finite")]
    assert found.ua is None


def test_a_run_that_nobody_trains_any_more_is_silent(begin_run: Callable[..., Path]) -> None:
    directory = begin_run()
    epochs(directory, "fold1-seed0", epoch(1))
    set_times(directory, NOW - 899)
    assert read_run_status(directory, directory, NOW).state == "running"
    assert read_run_status(directory, directory, NOW + 2).state == "silent"


@pytest.mark.parametrize(
    ("elsewhere", "ours_runs", "state"), [(False, False, "stopped"), (False, True, "running"), (True, False, "running")]
)
def test_a_run_whose_processes_have_all_ended_is_stopped(
    elsewhere: bool, ours_runs: bool, state: str, begin_run: Callable[..., Path], put: Put
) -> None:
    directory = begin_run()
    epochs(directory, "fold1-seed0", epoch(1))
    set_times(directory, NOW - 1)
    over = subprocess.Popen([sys.executable, "-c", ""])
    over.wait()
    put(directory / "starts" / "a.json", {"process": f"{host()}~{over.pid}", "started": NOW})
    if ours_runs:
        put(directory / "starts" / "b.json", {"process": this_process(), "started": NOW})
    if elsewhere:
        put(directory / "starts" / "b.json", {"process": f"another~{over.pid}", "started": NOW})
    set_times(directory, NOW - 1)
    assert read_run_status(directory, directory, NOW).state == state


def test_a_run_that_was_never_begun_waits(begin_run: Callable[..., Path]) -> None:
    directory = begin_run()
    assert read_run_status(directory, directory, NOW).state == "waiting"


def test_a_result_says_its_scores_and_what_failed(begin_run: Callable[..., Path], put: Put, result: dict[str, Any]) -> None:
    directory = begin_run()
    epochs(directory, "fold1-seed0", epoch(1))  # tidied away in a moment
    put(directory / "result.json", result)
    found = read_run_status(directory, directory, NOW)
    assert (found.name, found.state, found.ua, found.wa, found.running) == ("late F+T", "done", 0.75, 0.7, ())
    assert (found.finished, found.total, found.failed[0].reason) == (3, 4, "loss is not finite")


@pytest.mark.parametrize("plan", ["plan.json", "shards", "none"])
def test_all_folds_are_the_sessions_of_the_cache(
    begin_run: Callable[..., Path], cache: Path, put: Put, write_shard: Callable[..., None], plan: str
) -> None:
    directory = begin_run(folds=None)
    names = [f"session{number}-{part:03d}" for number in "1234_5" for part in range(2)]
    if plan == "plan.json":
        put(cache / "plan.json", {"shards": {name: [] for name in names}})
    elif plan == "shards":
        for name in names:
            write_shard(cache, name)
    expected = None if plan == "none" else 12
    assert read_run_status(directory, cache.parent.parent, NOW).total == expected
    assert read_run_status(directory, cache, NOW).total == expected
    assert read_run_status(directory, cache / "elsewhere", NOW).total is None


@pytest.mark.parametrize("text", ["", '{"config', "[]", "{}", '{"config": 3}', '{"config": {"seeds": 5}}'])
def test_a_torn_config_is_no_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    found = read_run_status(tmp_path, tmp_path, NOW)
    assert (found.name, found.total) == (tmp_path.name, None)


@pytest.mark.parametrize("text", ["", "{", "null\n", "5\n[]\n"])
def test_a_torn_epoch_is_epoch_0(begin_run: Callable[..., Path], text: str) -> None:
    directory = begin_run()
    epochs(directory, "fold1-seed0", text)
    assert [(run.epoch, run.validation_ua) for run in read_run_status(directory, directory, NOW).running] == [(0, None)]


def test_a_directory_that_is_gone_is_no_error(tmp_path: Path) -> None:
    found = read_run_status(tmp_path / "gone", tmp_path, NOW)
    assert (found.state, found.last) == ("waiting", None)
