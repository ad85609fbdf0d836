"""The account of tasks that were begun, kept by several threads."""

import time
from pathlib import Path
from threading import Thread

from mer.backends import TaskDone, TaskFailed
from mer.backends.attempt import Attempt, TryFailure
from mer.backends.ledger import Ledger
from mer.tests.backends.toy_work import ToyWork, task

BUG = TryFailure(reason="bug", memory=False)


def test_one_event_is_told_at_a_time() -> None:
    telling = 0
    overlaps: list[object] = []

    def tell(event: object) -> None:
        nonlocal telling
        telling += 1
        if telling > 1:
            overlaps.append(event)
        time.sleep(0)  # gives way to the others, if they may
        telling -= 1

    ledger = Ledger(ToyWork(Path("/nowhere")), workers=4, tell=tell)

    def hear() -> None:
        for number in range(300):
            ledger.hear(number)

    threads = [Thread(target=hear) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []


def test_a_second_end_of_a_task_is_not_told() -> None:
    told: list[object] = []
    ledger = Ledger(ToyWork(Path("/nowhere")), workers=2, tell=told.append)
    ledger.begin(Attempt(task=task("a")), 0)
    for _ in range(2):
        ledger.hear(TaskDone(name="a"))
    ledger.fail("a", BUG)
    ledger.hear(TaskFailed(name="a", reason="late", tries=1))
    assert told == [TaskDone(name="a")]
    assert not ledger.open


def test_a_failed_try_waits_for_another_worker_and_one_that_was_taken_back_for_any() -> None:
    ledger = Ledger(ToyWork(Path("/nowhere")), workers=2, tell=print)
    ledger.begin(Attempt(task=task("a")), 0)
    ledger.fail("a", BUG)
    assert (ledger.has_for(0), ledger.has_for(1), ledger.open) == (False, True, True)
    assert ledger.try_again(0) is None
    second = Attempt(task=task("a"), number=2, avoid=0)
    assert ledger.try_again(1) == second
    ledger.begin(second, 1)
    ledger.take_back(1)
    assert ledger.try_again(1) == second


def test_a_task_that_others_did_before_its_second_try_is_done(tmp_path: Path) -> None:
    told: list[object] = []
    ledger = Ledger(ToyWork(tmp_path), workers=2, tell=told.append)
    ledger.begin(Attempt(task=task("a")), 0)
    ledger.fail("a", BUG)
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "a").touch()
    assert ledger.try_again(1) is None
    assert told == [TaskDone(name="a")]
    assert not ledger.open
