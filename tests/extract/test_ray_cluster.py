"""Extraction and a small grid on a Ray cluster of two nodes, one of which goes in mid-run: as by one process."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mer.backends import TaskDone
from mer.backends.ray_cluster import RayBackend
from mer.cache import open_cache
from mer.corpus import open_corpus
from mer.extract import ExtractConfig, Extraction, ExtractionProgress, Resources, extract
from mer.grids.grid import Grid, GridRow
from mer.grids.head_tasks import HeadTasks
from mer.grids.run_grid import run_grid
from mer.heads import HeadConfig

MakeManifest = Callable[..., Path]
SMALL = Resources(device="cpu", workers=1, shard_bytes=400_000)
LATE = HeadConfig(granularities=("S",), hidden=8, max_epochs=2, seeds=(0, 1), device="cpu", classes="as-is")
GRID = Grid(
    name="small",
    title="Small",
    rows=(
        GridRow(name="late", configs=(LATE,)),
        GridRow(name="coattention", configs=(replace(LATE, fusion="coattention", attention_layers=1),)),
    ),
)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without room, and two nodes of one CPU each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    heart = {"health_check_period_ms": 500, "health_check_failure_threshold": 6, "health_check_initial_delay_ms": 0}
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 10**8, "_system_config": heart}
    found = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        found.add_node(num_cpus=1, object_store_memory=10**8)
    found.wait_for_nodes()
    yield found
    found.shutdown()


class NodeLoss:
    """Takes a node away once, when told that a first task is committed."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.happened = False

    def __call__(self) -> None:
        if not self.happened:
            self.happened = True
            self._cluster.remove_node(next(iter(self._cluster.worker_nodes)), allow_graceful=False)


def shard_bytes(result: Extraction) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((result.folder / "shards").glob("*.h5"))}


def contents(runs: Path) -> dict[str, bytes]:
    """Every file that holds no times."""
    names = {"provenance.json", "result.json"}
    files = [file for file in sorted(runs.rglob("*")) if file.is_file() and file.name not in names]
    return {str(file.relative_to(runs)): file.read_bytes() for file in files}


@pytest.mark.slow
@pytest.mark.filterwarnings("default::ResourceWarning")  # Ray leaves sockets and files to the garbage collector
def test_a_lost_node_changes_no_byte_of_a_cache_and_no_number_of_a_grid(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path, cluster: Any
) -> None:
    corpus = open_corpus(make_manifest(48))
    whole = extract(corpus, config, tmp_path / "whole", resources=SMALL)
    assert whole.shards > 10
    lost = NodeLoss(cluster)
    ray = RayBackend(address=cluster.address)

    def watch(progress: ExtractionProgress) -> None:
        if progress.bytes:
            lost()

    parts = extract(corpus, config, tmp_path / "parts", resources=SMALL, backend=ray, on_progress=watch)
    assert lost.happened
    assert (parts.failed_shards, parts.utterances, parts.shards) == ((), 48, whole.shards)
    assert shard_bytes(parts) == shard_bytes(whole)

    cluster.add_node(num_cpus=1, object_store_memory=10**8)
    cluster.wait_for_nodes()
    lost = NodeLoss(cluster)
    cache = open_cache(parts.folder)
    plain = run_grid(GRID, HeadTasks(cache, tmp_path / "plain"))

    def listen(event: object) -> None:
        if isinstance(event, TaskDone):
            lost()

    tasks = HeadTasks(cache, tmp_path / "launched", workers=2, open_features=partial(open_cache, parts.folder))
    launched = run_grid(GRID, tasks, backend=ray, progress=listen)
    assert lost.happened
    assert launched.values == plain.values
    assert contents(tmp_path / "launched") == contents(tmp_path / "plain")
