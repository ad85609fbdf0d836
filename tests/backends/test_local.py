"""Several processes of one machine: what dies, fails or is slow costs the others nothing."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mer.backends import BackendError, LocalBackend, Slot, Task, TaskDone, TaskFailed, WorkerLost
from mer.backends.local import cores
from mer.tests.backends.toy_work import Begun, ModelError, ToyWork, check_whole, commits, task, tries

BAD_DAY = {
    "fine": ("commit",),
    "killed-once": ("kill", "commit"),
    "killed-always": ("kill",),
    "killed-after-commit": ("kill after commit",),
    "left": ("exit", "commit"),
    "memory": ("memory", "commit"),
    "disk": ("disk", "commit"),
    "bug": ("bug",),
    "late": ("late", "commit"),
    "forgotten": ("forget", "commit"),
    "quiet": ("quietly",),
    "larger than a pipe": ("commit", "x" * 1_000_000),
}


class Run:
    """One run, and everything that it told."""

    def __init__(self, folder: Path, tasks: list[Task]) -> None:
        self.folder, self.told = folder, list[object]()
        self.failed = LocalBackend(workers=2, threads=3).run(ToyWork(folder), iter(tasks), tell=self.told.append)

    def reason(self, name: str) -> str:
        return next(one.reason for one in self.failed if one.name == name)


@pytest.fixture(scope="module")
def bad_day(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("bad-day"), [task(name, *actions) for name, actions in BAD_DAY.items()])


def test_all_but_what_cannot_be_done_is_done(bad_day: Run) -> None:
    check_whole(bad_day.folder, set(BAD_DAY) - {"killed-always", "bug"})
    assert [(one.name, one.tries) for one in sorted(bad_day.failed, key=lambda one: one.name)] == [
        ("bug", 2),
        ("killed-always", 2),
    ]


def test_every_task_is_told_to_end_once(bad_day: Run) -> None:
    ends = Counter(event.name for event in bad_day.told if isinstance(event, TaskDone | TaskFailed))
    assert ends == Counter(list(BAD_DAY))
    assert [event for event in bad_day.told if isinstance(event, TaskFailed)] == list(bad_day.failed)


def test_nothing_that_was_committed_is_done_again(bad_day: Run) -> None:
    done = set(BAD_DAY) - {"killed-always", "bug"}
    assert {name: commits(bad_day.folder, name) for name in done} == dict.fromkeys(done, 1)


@pytest.mark.parametrize("name", ["killed-once", "left", "memory"])
def test_the_second_try_after_a_death_or_for_want_of_memory_has_half_the_batch(bad_day: Run, name: str) -> None:
    assert [record["share"] for record in tries(bad_day.folder, name)] == [1.0, 0.5]


@pytest.mark.parametrize("name", ["disk", "bug", "late", "forgotten"])
def test_the_second_try_after_another_error_is_whole_and_elsewhere(bad_day: Run, name: str) -> None:
    first, second = tries(bad_day.folder, name)
    assert (first["share"], second["share"]) == (1.0, 1.0)
    assert first["slot"] != second["slot"]


def test_a_death_is_told_with_its_reason(bad_day: Run) -> None:
    lost = [event for event in bad_day.told if isinstance(event, WorkerLost)]
    assert len(lost) == 5
    assert {event.host for event in lost} == {os.uname().nodename}
    assert sum("killed by SIGKILL" in event.reason for event in lost) == 4
    assert sum("exit code 3" in event.reason for event in lost) == 1


def test_reasons_say_what_happened_and_carry_a_traceback_only_for_bugs(bad_day: Run) -> None:
    assert "killed by SIGKILL" in bad_day.reason("killed-always")
    assert "Traceback" not in bad_day.reason("killed-always")
    assert "Traceback" in bad_day.reason("bug")
    assert "KeyError: 'bug'" in bad_day.reason("bug")


def test_children_have_the_threads_of_their_slot_in_their_environment(bad_day: Run) -> None:
    assert {record["threads"] for name in BAD_DAY for record in tries(bad_day.folder, name)} == {"3"}
    assert os.environ.get("OMP_NUM_THREADS") != "3"


def test_children_never_hear_ctrl_c_not_even_while_they_start(bad_day: Run) -> None:
    for record in tries(bad_day.folder, "fine"):
        assert record["ctrl-c ignored"]
        assert record["ctrl-c blocked"]  # inherited, so it holds before the first line of Python


def test_two_work_at_the_same_time_and_close_what_they_opened(tmp_path: Path) -> None:
    run = Run(tmp_path, [task("a", "after b", cost=2.0), task("b")])
    assert run.failed == ()
    assert {record["slot"] for name in "ab" for record in tries(tmp_path, name)} == {0, 1}
    for number in (0, 1):
        assert (tmp_path / f"finished-{number}").exists()
        assert (tmp_path / f"closed-{number}").exists()


def test_the_largest_of_the_window_is_begun_first_and_no_more_is_read_than_the_window(tmp_path: Path) -> None:
    read: list[str] = []
    done: list[str] = []
    begun: dict[int, list[str]] = {}

    def stream() -> Iterator[Task]:
        for number in range(60):
            read.append(f"u{number}")
            yield task(f"u{number}", cost=100.0 if number == 5 else 1.0 + number / 100)

    def tell(event: object) -> None:
        if isinstance(event, Begun):
            begun.setdefault(event.slot, []).append(event.name)
        if isinstance(event, TaskDone):
            done.append(event.name)
            assert len(read) <= len(done) + 8 + 4  # a window of 4 per worker, and 2 in every worker's hands

    LocalBackend(workers=2).run(ToyWork(tmp_path), stream(), tell=tell)
    check_whole(tmp_path, set(read))
    assert "u5" in {names[0] for names in begun.values()}


def test_the_artefacts_are_those_of_one_process(tmp_path: Path) -> None:
    tasks = [task(name) for name in "abcdefgh"]
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        LocalBackend(workers=workers).run(ToyWork(folder), tasks, tell=lambda event: None)
        check_whole(folder, set("abcdefgh"))


def test_a_worker_that_is_killed_by_others_costs_its_tasks_one_more_try(tmp_path: Path) -> None:
    victims: list[int] = []

    def tell(event: object) -> None:
        if isinstance(event, Begun) and event.name == "waits" and not victims:
            victims.append(event.pid)
            os.kill(event.pid, signal.SIGKILL)
        if isinstance(event, WorkerLost):
            (tmp_path / "go").touch()

    failed = LocalBackend(workers=2).run(ToyWork(tmp_path), [task("waits", "wait"), task("b"), task("c")], tell=tell)
    assert failed == ()
    assert len(victims) == 1
    check_whole(tmp_path, {"waits", "b", "c"})
    assert [record["share"] for record in tries(tmp_path, "waits")] == [1.0, 0.5]


def test_deaths_with_work_done_between_them_do_not_end_it(tmp_path: Path) -> None:
    names = {f"u{number}" for number in range(9)}
    told: list[object] = []
    tasks = [task(name, "kill", "commit") for name in sorted(names)]
    assert LocalBackend(workers=2).run(ToyWork(tmp_path), tasks, tell=told.append) == ()
    check_whole(tmp_path, names)
    assert len([event for event in told if isinstance(event, WorkerLost)]) == 9


def test_a_worker_has_two_tasks_at_most_that_are_not_committed(tmp_path: Path) -> None:
    names = set("abcdefg")
    told: list[object] = []
    tasks = [task(name, "at finish") for name in sorted(names)]
    assert LocalBackend(workers=2).run(ToyWork(tmp_path), tasks, tell=told.append) == ()
    check_whole(tmp_path, names)
    assert sorted(event.name for event in told if isinstance(event, TaskDone)) == sorted(names)
    assert max(int(path.name.removeprefix("held-")) for path in tmp_path.glob("held-*")) == 2


def test_workers_that_die_before_any_task_is_done_end_the_work(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"8 workers in a row ended .* killed by SIGKILL.*--workers"):
        LocalBackend(workers=2).run(ToyWork(tmp_path, "kill"), [task("a")] * 3, tell=lambda event: None)


@pytest.mark.parametrize(
    ("opening", "error", "says"),
    [
        ("refuse", BackendError, r"torch 2\.10"),
        ("error", ModelError, "no such model"),
        ("odd error", BackendError, "TwoArgumentError: this and that"),
        ("changing error", BackendError, "ChangingError: no model"),
    ],
)
def test_an_error_at_opening_ends_the_work_with_that_error(
    tmp_path: Path, opening: str, error: type[Exception], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error, match=says):
        LocalBackend(workers=2).run(ToyWork(tmp_path, opening), [task("a"), task("b")], tell=lambda event: None)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_at_closing_is_not_lost(tmp_path: Path, workers: int) -> None:
    with pytest.raises(ModelError, match="cannot close"):
        LocalBackend(workers=workers).run(ToyWork(tmp_path, "close with error"), [task("a"), task("b")], tell=lambda event: None)
    check_whole(tmp_path, {"a", "b"})


def test_nothing_to_do_starts_no_process(tmp_path: Path) -> None:
    LocalBackend(workers=1).run(ToyWork(tmp_path), [task("a"), task("b")], tell=lambda event: None)
    told: list[object] = []
    failed = LocalBackend(workers=2).run(ToyWork(tmp_path, "kill"), [task("a"), task("b")], tell=told.append)
    assert (failed, told) == ((), [TaskDone(name="a"), TaskDone(name="b")])


@pytest.mark.parametrize(
    ("backend", "devices"),
    [
        (LocalBackend(), ["cpu"]),
        (LocalBackend(device="cuda", gpus=3), ["cuda:0", "cuda:1", "cuda:2"]),
        (LocalBackend(device="cuda", gpus=3, workers=2), ["cuda:0", "cuda:1"]),
        (LocalBackend(device="cuda", gpus=3, workers=1), ["cuda"]),
        (LocalBackend(device="cuda"), ["cuda"]),
        (LocalBackend(device="cuda:1", gpus=3), ["cuda:1"]),
    ],
)
def test_every_worker_on_cuda_has_a_gpu_of_its_own(backend: LocalBackend, devices: list[str]) -> None:
    assert [slot.device for slot in backend.slots()] == devices
    assert [slot.number for slot in backend.slots()] == list(range(len(devices)))


def test_the_cores_are_divided_unless_threads_are_given() -> None:
    assert {slot.threads for slot in LocalBackend(workers=2).slots()} == {max(1, cores() // 2)}
    assert LocalBackend(workers=1).slots() == (Slot(number=0, device="cpu", threads=cores()),)
    assert {slot.threads for slot in LocalBackend(workers=2, threads=5).slots()} == {5}
    assert LocalBackend(workers=10_000).slots()[0].threads == 1


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        (LocalBackend(device="cuda", gpus=2, workers=3), r"3 workers .* cuda, which is 2 GPUs.*--workers 2"),
        (LocalBackend(device="cuda", workers=2), r"2 workers .* 0 GPUs.*--workers 1"),
        (LocalBackend(device="cuda:1", gpus=2, workers=2), r"cuda:1, which is 1 GPU"),
        (LocalBackend(workers=0), "got 0 workers"),
        (LocalBackend(workers=1, threads=0), "0 threads"),
    ],
)
def test_more_workers_than_gpus_are_refused_with_the_counts(backend: LocalBackend, says: str, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=says):
        backend.run(ToyWork(tmp_path), [task("a")], tell=lambda event: None)
