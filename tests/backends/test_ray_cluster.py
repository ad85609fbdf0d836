"""Tasks on a Ray cluster of this machine with two worker nodes, one of which is removed in mid-run."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mer.backends import BackendError, TaskDone, TaskFailed, WorkerLost
from mer.backends.ray_cluster import RayBackend
from mer.tests.backends.toy_work import ModelError, ToyWork, check_whole, commits, task, tries, wait_until


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.backends.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r'pip install "mer-fusion\[ray\]"'):
        RayBackend().run(ToyWork(tmp_path), [task("a")], tell=lambda event: None)


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        (RayBackend(workers=0), "got 0 workers"),
        (RayBackend(threads=0), "0 threads"),
        (RayBackend(gpus_per_worker=-1.0), r"-1\.0 GPUs"),
    ],
)
def test_what_no_task_can_have_is_refused(tmp_path: Path, backend: RayBackend, says: str) -> None:
    with pytest.raises(BackendError, match=says):
        backend.run(ToyWork(tmp_path), [task("a")], tell=lambda event: None)


@pytest.mark.parametrize(
    ("backend", "room"),
    [(RayBackend(), 8), (RayBackend(threads=3), 2), (RayBackend(gpus_per_worker=0.5), 4), (RayBackend(threads=9), 0)],
)
def test_a_node_has_room_for_what_it_has_cpus_and_gpus_for(backend: RayBackend, room: int) -> None:
    assert backend.room_on({"CPU": 8.0, "GPU": 2.0}) == room
    assert RayBackend(gpus_per_worker=1.0).room_on({"CPU": 8.0}) == 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without room, and two nodes of one CPU each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    heart = {"health_check_period_ms": 500, "health_check_failure_threshold": 6, "health_check_initial_delay_ms": 0}
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 10**8, "_system_config": heart}
    found = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    nodes = [found.add_node(num_cpus=1, object_store_memory=10**8) for _ in range(2)]
    found.wait_for_nodes()
    yield found, nodes
    found.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_no_cluster_at_the_address_is_an_error_at_once(tmp_path: Path, address: str) -> None:
    with pytest.raises(BackendError, match=rf"no Ray cluster at {address} .*refused.*ray start --head"):
        RayBackend(address=address).run(ToyWork(tmp_path), [task("a")], tell=lambda event: None)


@pytest.mark.slow
@pytest.mark.filterwarnings("default::ResourceWarning")  # Ray leaves sockets and files to the garbage collector
def test_errors_are_those_of_one_process(tmp_path: Path, cluster: Any, capfd: pytest.CaptureFixture[str]) -> None:
    actions = {
        "fine": ("commit",),
        "killed-once": ("kill", "commit"),
        "killed-always": ("kill",),
        "killed-after-commit": ("kill after commit",),
        "memory": ("memory", "commit"),
        "disk": ("disk", "commit"),
        "bug": ("bug",),
        "late": ("late", "commit"),
    }
    told: list[object] = []
    backend = RayBackend(address=cluster[0].address)
    failed = backend.run(ToyWork(tmp_path), [task(name, *tried) for name, tried in actions.items()], tell=told.append)
    assert sorted((one.name, one.tries) for one in failed) == [("bug", 2), ("killed-always", 2)]
    check_whole(tmp_path, set(actions) - {"bug", "killed-always"})
    ends = Counter(event.name for event in told if isinstance(event, TaskDone | TaskFailed))
    assert ends == Counter(list(actions))
    for name in ("killed-once", "memory"):
        assert [record["share"] for record in tries(tmp_path, name)] == [1.0, 0.5]
    assert [record["share"] for record in tries(tmp_path, "disk")] == [1.0, 1.0]
    assert {record["threads"] for record in tries(tmp_path, "fine")} == {"1"}
    assert len([event for event in told if isinstance(event, WorkerLost)]) == 4
    with pytest.raises(ModelError, match="no such model"):
        backend.run(ToyWork(tmp_path, "error"), [task("new")], tell=told.append)
    with pytest.raises(BackendError, match=r"a task needs 1 CPUs and 1 GPUs .*'CPU': 2"):
        RayBackend(address=cluster[0].address, gpus_per_worker=1.0).run(ToyWork(tmp_path), [task("new")], tell=told.append)
    assert capfd.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("default::ResourceWarning")
def test_a_node_that_is_removed_in_mid_run_costs_only_what_it_was_doing(tmp_path: Path, cluster: Any) -> None:
    """The last test of the cluster: one of its nodes is gone after it."""
    found, nodes = cluster
    # Each of the two waits until the other has begun, so each is on a node of its own; `wait` waits for the removal.
    names = {f"u{number}" for number in range(10)} | {"left", "right"}
    tasks = [task("left", "wait", "commit", cost=9.0), task("right", "wait", "commit", cost=9.0)]
    tasks += [task(name) for name in sorted(names) if name.startswith("u")]
    told: list[object] = []

    def tell(event: object) -> None:
        told.append(event)
        if isinstance(event, WorkerLost):
            (tmp_path / "go").touch()

    def remove() -> None:
        wait_until(lambda: all((tmp_path / "begun" / f"{name}.0").exists() for name in ("left", "right")))
        found.remove_node(nodes[1], allow_graceful=False)

    thread = threading.Thread(target=remove, daemon=True)
    thread.start()
    assert RayBackend(address=found.address).run(ToyWork(tmp_path), iter(tasks), tell=tell) == ()
    thread.join()
    check_whole(tmp_path, names)
    assert {name: commits(tmp_path, name) for name in names} == dict.fromkeys(names, 1)
    assert sorted(len(tries(tmp_path, name)) for name in ("left", "right")) == [1, 2]
    assert all(record["share"] == 1.0 for name in ("left", "right") for record in tries(tmp_path, name))
    assert len([event for event in told if isinstance(event, WorkerLost)]) == 1
