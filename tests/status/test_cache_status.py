import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mer.files.processes import host, this_process
from mer.results.artefact import entries
from mer.status import cache_status
from mer.status.cache_status import CacheReader, read_many

NOW = 1_000_000.0


def quiet_since(cache: Path, moment: float) -> None:
    """As if nothing had been written after a moment."""
    for path in [cache, *cache.rglob("*")]:
        os.utime(path, (moment, moment))


def test_shards_done_and_to_do_are_counted_with_their_audio(
    cache: Path, plan: Callable[..., None], write_shard: Callable[..., None]
) -> None:
    plan("session1-000", "session1-001", "session1-002", "session2-000")
    write_shard(cache, "session1-000", failed=("bad",))
    write_shard(cache, "session2-000")
    found = CacheReader(folder=cache).read(NOW)
    assert (found.corpus, found.planned, found.committed) == ("toy", 4, 2)
    assert (found.utterances, found.failed_utterances, found.seconds) == (4, 1, 10.0)
    assert found.seconds_left == 10.0  # two more like these


@pytest.mark.parametrize("kind", ["plan.json", "plan", "none"])
def test_a_plan_is_one_file_or_one_per_shard_or_absent(
    cache: Path, plan: Callable[..., None], put: Callable[[Path, object], Path], write_shard: Callable[..., None], kind: str
) -> None:
    write_shard(cache, "session1-000")
    if kind == "plan.json":
        plan("session1-000", "session1-001")
    elif kind == "plan":
        plan("session1-000", "session1-007")  # of an earlier writer: not looked at
        put(cache / "plan" / "session1-001.json", [])
        (cache / "plan" / ".session1-002.json").write_text("a temporary")
    assert CacheReader(folder=cache).read(NOW).planned == (1 if kind == "none" else 2)


def test_each_host_and_its_processes_have_a_pace(
    cache: Path, plan: Callable[..., None], write_shard: Callable[..., None]
) -> None:
    plan(*(f"session1-{n:03d}" for n in range(10)))
    write_shard(cache, "session1-000", process=1, finished=NOW - 10, took=10)
    write_shard(cache, "session1-001", process=1, finished=NOW, took=15)  # begun while the last was written: 20 s in all
    write_shard(cache, "session1-002", process=2, finished=NOW - 2, took=5)
    write_shard(cache, "session1-003", host="two", process=1, finished=NOW - 5000, took=10)  # gone
    found = CacheReader(folder=cache).read(NOW)
    one, two = found.hosts
    assert (one.host, one.shards, one.workers, one.rate, one.last) == ("one", 3, 2, 10 / 20 + 5 / 5, NOW)
    assert (two.host, two.shards, two.workers, two.rate, two.last) == ("two", 1, 0, 0.0, NOW - 5000)
    assert found.rate == 1.5
    assert found.time_left == pytest.approx(6 * 5 / 1.5)


def test_only_the_last_shards_of_a_worker_make_its_pace(cache: Path, write_shard: Callable[..., None]) -> None:
    for number in range(20):
        write_shard(cache, f"session1-{number:03d}", finished=NOW - 20 + number, took=1.0 if number > 11 else 10.0)
    assert CacheReader(folder=cache).read(NOW).rate == 5.0


def test_a_worker_is_at_work_for_three_times_its_longest_shard(
    cache: Path, plan: Callable[..., None], write_shard: Callable[..., None]
) -> None:
    plan("session1-000", "session1-001")
    write_shard(cache, "session1-000", finished=NOW - 2900, took=1000)
    quiet_since(cache, NOW - 2900)
    reader = CacheReader(folder=cache)
    assert reader.read(NOW).state == "running"
    assert reader.read(NOW + 200).state == "silent"
    assert reader.read(NOW + 200).time_left is None


def test_the_state_goes_from_waiting_to_done(cache: Path, plan: Callable[..., None], write_shard: Callable[..., None]) -> None:
    reader = CacheReader(folder=cache)
    quiet_since(cache, NOW)
    assert reader.read(NOW + 1).state == "running"
    assert reader.read(NOW + 1000).state == "waiting"
    plan("session1-000", "session1-001")
    write_shard(cache, "session1-000")
    assert reader.read(NOW).state == "running"
    write_shard(cache, "session1-001")
    assert reader.read(NOW + 9999).state == "done"


@pytest.mark.parametrize(
    ("elsewhere", "ours_runs", "state"), [(False, False, "stopped"), (False, True, "running"), (True, False, "running")]
)
def test_an_extraction_whose_processes_have_all_ended_is_stopped(
    elsewhere: bool,
    ours_runs: bool,
    state: str,
    cache: Path,
    plan: Callable[..., None],
    put: Callable[[Path, object], Path],
    write_shard: Callable[..., None],
) -> None:
    plan("session1-000", "session1-001")
    write_shard(cache, "session1-000", finished=NOW - 1)
    over = subprocess.Popen([sys.executable, "-c", ""])
    over.wait()
    put(cache / "starts" / "a.json", {"process": f"{host()}~{over.pid}"})
    if ours_runs:
        put(cache / "starts" / "b.json", {"process": this_process()})
    if elsewhere:
        put(cache / "starts" / "b.json", {"process": f"another~{over.pid}"})
    reader = CacheReader(folder=cache)
    assert reader.read(NOW).state == state
    write_shard(cache, "session1-001")
    assert reader.read(NOW).state == "done"


def test_failed_shards_have_reasons_until_they_are_committed(
    cache: Path, plan: Callable[..., None], put: Callable[[Path, object], Path], write_shard: Callable[..., None]
) -> None:
    plan("session1-000", "session1-001")
    said = {"shard": "session1-001", "reason": "no space left on device", "tries": 2, "host": "two", "time": 5.0}
    put(cache / "failed" / "session1-001.json", said)
    (cache / "failed" / "session1-000.json").write_text('{"shard": "ses')
    write_shard(cache, "session1-000")
    found = CacheReader(folder=cache).read(NOW)
    assert [(each.shard, each.reason, each.tries, each.host) for each in found.failed] == [
        ("session1-001", "no space left on device", 2, "two")
    ]
    assert (found.state, found.seconds_left) == ("done", 0.0)
    write_shard(cache, "session1-001")
    assert CacheReader(folder=cache).read(NOW).failed == ()


def test_torn_sidecars_and_shards_without_one_do_not_count(
    cache: Path, plan: Callable[..., None], write_shard: Callable[..., None]
) -> None:
    plan("session1-000", "session1-001", "session1-002")
    for number in range(3):
        write_shard(cache, f"session1-{number:03d}")
    torn = cache / "shards" / "session1-001.json"
    whole = torn.read_bytes()
    torn.write_bytes(whole[:100])
    (cache / "shards" / "session1-002.h5").unlink()
    reader = CacheReader(folder=cache)
    found = reader.read(NOW)
    assert (found.committed, found.unreadable, found.planned) == (1, ("session1-001",), 3)
    torn.write_bytes(whole)  # the same file, whole at the next look
    assert (reader.read(NOW).committed, reader.read(NOW).unreadable) == (2, ())


def test_a_later_look_reads_new_and_replaced_sidecars_only(
    cache: Path, write_shard: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def read(path: Path) -> bytes:
        opened.append(path.name)
        return path.read_bytes()

    monkeypatch.setattr(cache_status, "read_bytes", read)
    write_shard(cache, "session1-000")
    reader = CacheReader(folder=cache)
    reader.read(NOW)
    write_shard(cache, "session1-001")
    again = cache / "shards" / "new"
    again.write_bytes((cache / "shards" / "session1-001.json").read_bytes().replace(b'"one"', b'"two"'))
    reader.read(NOW)
    again.replace(cache / "shards" / "session1-001.json")
    assert [host.host for host in reader.read(NOW).hosts] == ["one", "two"]
    assert opened == ["session1-000.json", "session1-001.json", "session1-001.json"]


def test_files_that_vanish_under_the_look_are_no_error(
    cache: Path, plan: Callable[..., None], write_shard: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan("session1-000", "session1-001")
    write_shard(cache, "session1-000")
    write_shard(cache, "session1-001")

    def list_and_lose(folder: Path, suffix: str = "") -> dict[str, int]:
        found = entries(folder, suffix)
        if suffix == ".json" and folder.name == "shards":
            (folder / "session1-001.json").unlink()
        return found

    monkeypatch.setattr(cache_status, "entries", list_and_lose)
    assert CacheReader(folder=cache).read(NOW).committed == 1


def test_where_files_are_slow_they_are_read_together_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_status, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(cache_status, "PROBE", 2)
    paths = [tmp_path / str(number) for number in range(9)]
    for path in paths:
        path.write_text(path.name)
    paths[5].unlink()
    assert read_many(paths, bytes.decode) == [None if n == 5 else str(n) for n in range(9)]
