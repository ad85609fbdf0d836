"""How a launcher's end reaches its workers: Ctrl-C, SIGKILL, two launchers at once, and kills without end."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mer.backends import LocalBackend
from mer.tests.backends import launcher
from mer.tests.backends.toy_work import PATIENCE, Begun, ToyWork, check_whole, commits, task, tries, wait_until


def launch(folder: Path, *, tasks: int, workers: int = 2) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", launcher.__name__, str(folder), str(tasks), str(workers)]
    with (folder / "errors.txt").open("a") as errors:
        return subprocess.Popen(command, stderr=errors, start_new_session=True)


def waiting_pids(folder: Path) -> set[int]:
    """Processes that are in the middle of a task now."""
    texts = [file.read_text() for file in (folder / "begun").glob(f"{launcher.WAITING}-*")]
    return {json.loads(text)["pid"] for text in texts if text}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_ctrl_c_ends_the_workers_without_a_word_from_them_and_the_next_command_goes_on(tmp_path: Path) -> None:
    process = launch(tmp_path, tasks=4)
    wait_until(lambda: len(waiting_pids(tmp_path)) == 2)
    workers = waiting_pids(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(PATIENCE) == 130
    assert (tmp_path / "errors.txt").read_text() == "interrupted\n"
    assert not any(map(alive, workers))
    assert all((tmp_path / f"closed-{number}").exists() for number in (0, 1))  # in order
    check_whole(tmp_path, {"u0", "u1", "u2", "u3"})
    (tmp_path / "go").touch()
    assert launch(tmp_path, tasks=4).wait(PATIENCE) == 0
    check_whole(tmp_path, {"u0", "u1", "u2", "u3", "waiting-0", "waiting-1"})
    assert {commits(tmp_path, f"u{number}") for number in range(4)} == {1}


def test_workers_end_with_a_launcher_that_is_killed(tmp_path: Path) -> None:
    process = launch(tmp_path, tasks=2)
    wait_until(lambda: len(waiting_pids(tmp_path)) == 2)
    workers = waiting_pids(tmp_path)
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(alive, workers)))
    check_whole(tmp_path, {"u0", "u1"})


def test_two_launchers_at_once_leave_what_one_leaves(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    both = [launch(tmp_path, tasks=30, workers=1) for _ in range(2)]
    assert [process.wait(PATIENCE) for process in both] == [0, 0]
    check_whole(tmp_path, {f"u{number}" for number in range(30)} | {"waiting-0"})


@pytest.mark.slow
def test_forty_kills_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    random_ = random.Random(7)
    names = {f"u{number}" for number in range(120)}
    tasks = [task(name, cost=random_.random()) for name in sorted(names)]
    killed = 0

    def tell(event: object) -> None:
        nonlocal killed
        if isinstance(event, Begun) and killed < 40 and random_.random() < 0.3:
            killed += 1
            os.kill(event.pid, signal.SIGKILL)  # in the task, in its commit, or between: the worker goes on meanwhile

    launches = 0
    while killed < 40 or not all((tmp_path / "done" / name).exists() for name in names):
        LocalBackend(workers=2).run(ToyWork(tmp_path), tasks, tell=tell)
        launches += 1
        assert launches < 30
    assert killed == 40
    check_whole(tmp_path, names)
    # A task is done a second time only if it was not committed when its worker died.
    assert sum(len(tries(tmp_path, name)) for name in names) <= len(names) + 2 * killed
