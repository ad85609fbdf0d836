"""One worker is this process itself: tasks in their order, one more try only where it can help."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mer.backends import BackendError, LocalBackend, Task, TaskDone, TaskFailed
from mer.tests.backends.toy_work import Begun, ModelError, ToyWork, check_whole, task, tries


def run(folder: Path, *tasks: Task, opening: str = "open") -> tuple[list[object], tuple[TaskFailed, ...]]:
    told: list[object] = []
    failed = LocalBackend(workers=1).run(ToyWork(folder, opening), tasks, tell=told.append)
    return told, failed


def test_tasks_are_done_in_their_order_in_this_process(tmp_path: Path) -> None:
    told, failed = run(tmp_path, task("a"), task("b", cost=9.0), task("c"))
    assert failed == ()
    assert [event.name for event in told if isinstance(event, TaskDone)] == ["a", "b", "c"]
    assert {event.pid for event in told if isinstance(event, Begun)} == {os.getpid()}
    check_whole(tmp_path, {"a", "b", "c"})
    assert (tmp_path / "finished-0").exists()
    assert (tmp_path / "closed-0").exists()


def test_what_is_done_is_not_begun_and_nothing_is_opened_for_nothing(tmp_path: Path) -> None:
    run(tmp_path, task("a"))
    told, failed = run(tmp_path, task("a"), opening="error")
    assert (told, failed) == ([TaskDone(name="a")], ())
    assert len(tries(tmp_path, "a")) == 1


@pytest.mark.parametrize("action", ["memory", "cuda memory"])
def test_after_memory_ran_out_a_task_is_tried_with_half_the_batch(tmp_path: Path, action: str) -> None:
    told, failed = run(tmp_path, task("a", action, "commit"), task("b"))
    assert failed == ()
    assert [record["share"] for record in tries(tmp_path, "a")] == [1.0, 0.5]
    assert [event.name for event in told if isinstance(event, TaskDone)] == ["b", "a"]


def test_memory_that_runs_out_twice_is_recorded(tmp_path: Path) -> None:
    told, failed = run(tmp_path, task("a", "memory"), task("b"))
    assert [(one.name, one.tries) for one in failed] == [("a", 2)]
    assert "cannot have 7 GB" in failed[0].reason
    assert [event for event in told if isinstance(event, TaskFailed)] == list(failed)
    check_whole(tmp_path, {"b"})


def test_other_errors_are_recorded_at_once_for_there_is_no_other_worker(tmp_path: Path) -> None:
    _, failed = run(tmp_path, task("a", "disk", "commit"), task("b", "bug"), task("c"))
    assert [(one.name, one.tries) for one in failed] == [("a", 1), ("b", 1)]
    assert "No space left on device" in failed[0].reason
    assert "Traceback" not in failed[0].reason
    assert "Traceback" in failed[1].reason
    assert "KeyError: 'bug'" in failed[1].reason
    check_whole(tmp_path, {"c"})


def test_a_commit_that_failed_later_is_the_tasks_failure(tmp_path: Path) -> None:
    told, failed = run(tmp_path, task("a", "late"), task("b"))
    assert failed == (TaskFailed(name="a", reason="the commit failed", tries=1),)
    assert told.count(failed[0]) == 1


def test_a_task_that_is_neither_committed_nor_failed_is_recorded(tmp_path: Path) -> None:
    _, failed = run(tmp_path, task("a", "forget"), task("b"))
    assert [one.name for one in failed] == ["a"]
    assert "without committing" in failed[0].reason


def test_a_task_that_was_committed_without_a_word_is_done(tmp_path: Path) -> None:
    told, failed = run(tmp_path, task("a", "quietly"))
    assert failed == ()
    assert told[-1] == TaskDone(name="a")


@pytest.mark.parametrize("opening", ["refuse", "error"])
def test_an_error_at_opening_ends_the_work_with_that_error(tmp_path: Path, opening: str) -> None:
    expected = {"refuse": BackendError, "error": ModelError}[opening]
    with pytest.raises(expected, match=r"torch 2\.10|no such model"):
        run(tmp_path, task("a"), opening=opening)


def test_a_refusal_in_mid_work_ends_it(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="not the same models"):
        run(tmp_path, task("a", "refuse"), task("b"))
    assert tries(tmp_path, "b") == []


def test_a_stream_is_read_one_task_ahead_at_most(tmp_path: Path) -> None:
    read: list[str] = []

    def stream() -> Iterator[Task]:
        for number in range(50):
            read.append(str(number))
            yield task(str(number))

    def tell(event: object) -> None:
        if isinstance(event, TaskDone):
            assert len(read) <= int(event.name) + 2

    LocalBackend(workers=1).run(ToyWork(tmp_path), stream(), tell=tell)
    check_whole(tmp_path, set(read))
