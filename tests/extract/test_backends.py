"""Extraction in shares and on backends: the same bytes, and what becomes of shards that fail."""

import dataclasses
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import mer.extract.workers
from mer.backends import Backend, BackendError, LocalBackend, Task, TaskDone, TaskFailed, Work
from mer.cache import CacheFolder, open_cache
from mer.corpus import Utterance, open_corpus
from mer.extract import ExtractConfig, Extraction, Resources, extract
from mer.extract.encode import EncodedShard, encode_shard
from mer.extract.encoders import Encoders
from mer.extract.run import local_backend

MakeManifest = Callable[..., Path]
ONE = Resources(device="cpu", workers=1)


def shard_bytes(result: Extraction) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((result.folder / "shards").glob("*.h5"))}


def test_ranks_make_the_whole_between_them_whenever_they_start(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    corpus = open_corpus(make_manifest(6))
    small = dataclasses.replace(ONE, shard_bytes=200_000)
    whole = extract(corpus, config, tmp_path / "whole", resources=small)
    assert whole.shards == 6
    made = []
    for rank in (1, 0):
        share = extract(corpus, config, tmp_path / "parts", resources=small, shard=(rank, 2))
        made.append(share.shards_made)
        assert (share.shards, share.shards_elsewhere) == (made[-1], whole.shards - sum(made))
    assert min(made) > 0
    assert shard_bytes(share) == shard_bytes(whole)
    again = extract(corpus, config, tmp_path / "parts", resources=small, shard=(1, 2))
    assert (again.shards, again.shards_made, again.shards_elsewhere) == (made[0], 0, 0)
    assert 0 < again.utterances < 6
    with pytest.raises(BackendError, match="shard rank 2 of 2"):
        extract(corpus, config, tmp_path / "parts", resources=small, shard=(2, 2))


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, *, times: int, session: str = "2") -> list[float | None]:
    """Encoding a session's shards raises an error so many times; the batch seconds of every try."""
    tries: list[float | None] = []

    def fail(
        utterances: tuple[Utterance, ...], encoders: Encoders, config: ExtractConfig, resources: Resources, report: Any
    ) -> EncodedShard:
        shard = encode_shard(utterances, encoders, config, resources, report)
        if utterances[0].session == session:
            tries.append(resources.batch_seconds)
            if len(tries) <= times:
                raise error
        return shard

    monkeypatch.setattr(mer.extract.workers, "encode_shard", fail)
    return tries


def test_a_shard_that_fails_is_recorded_and_made_by_the_next_command(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = open_corpus(make_manifest(6))
    notices: list[str] = []
    with monkeypatch.context() as patch:
        failing(patch, OSError("the disk is full"), times=9)
        result = extract(corpus, config, tmp_path / "features", resources=ONE, on_notice=notices.append)
    (failed,) = result.failed_shards
    assert (failed.shard, failed.tries) == ("session2-000", 1)
    assert failed.reason.startswith("the disk is full (on ")
    assert (result.utterances, result.shards, result.shards_made, result.failed) == (4, 2, 2, ())
    assert CacheFolder.find(result.folder).failures() == {"session2-000": failed}
    assert notices == [f"shard session2-000 was given up at try 1: {failed.reason}"]
    again = extract(corpus, config, tmp_path / "features", resources=ONE)
    assert (again.failed_shards, again.shards_made, again.utterances) == ((), 1, 6)
    assert CacheFolder.find(result.folder).failures() == {}


def test_a_shard_for_which_memory_is_short_is_tried_with_half_the_batch(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = open_corpus(make_manifest(6))
    batches = dataclasses.replace(ONE, batch_seconds=8.0)
    tries = failing(monkeypatch, MemoryError("no more"), times=1)
    result = extract(corpus, config, tmp_path / "features", resources=batches)
    assert tries == [8.0, 4.0]
    assert (result.failed_shards, result.utterances) == ((), 6)
    held = open_cache(result.folder).utterances
    twice = [seconds for session, seconds in zip(held.sessions, held.seconds, strict=True) if session == "2"]
    assert result.repeated_seconds == pytest.approx(sum(twice))
    assert result.audio_seconds == pytest.approx(sum(held.seconds))


def test_an_altered_shard_is_made_anew_though_its_sidecar_is_whole(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    corpus = open_corpus(make_manifest(3))
    result = extract(corpus, config, tmp_path / "features", resources=ONE)
    before = shard_bytes(result)
    path = result.folder / "shards" / "session2-000.h5"
    path.write_bytes(before[path.name][:-1] + bytes([before[path.name][-1] ^ 1]))
    again = extract(corpus, config, tmp_path / "features", resources=ONE)
    assert again.shards_made == 1
    assert shard_bytes(again) == before


def test_one_worker_in_this_process_takes_the_encoders_that_are_loaded(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mer.extract.workers, "load_encoders", lambda *given: pytest.fail("loaded a second time"))
    assert extract(open_corpus(make_manifest(1)), config, tmp_path / "features", resources=ONE).utterances == 1


class Elsewhere:
    """A backend whose workers write to a folder of their own, or do nothing but hand tasks to another backend."""

    def __init__(self, backend: Backend | None) -> None:
        self.backend = backend
        self.tasks: list[Task] = []

    def run(self, work: Work, tasks: Iterable[Task], *, tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
        self.tasks = list(tasks)
        if self.backend is not None:
            return self.backend.run(pickle.loads(pickle.dumps(work)), reversed(self.tasks), tell=tell)
        for task in self.tasks:
            tell(TaskDone(name=task.name))
        return ()


def test_any_backend_ends_in_the_same_bytes(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> None:
    corpus = open_corpus(make_manifest(6))
    here = extract(corpus, config, tmp_path / "here", resources=ONE)
    backend = Elsewhere(LocalBackend(threads=1))
    there = extract(corpus, config, tmp_path / "there", backend=backend)
    costs = [task.cost for task in backend.tasks]
    assert costs == sorted(costs, reverse=True)
    assert sum(costs) == pytest.approx(here.audio_seconds)
    assert shard_bytes(here) == shard_bytes(there)


def test_shards_that_are_said_to_be_done_and_are_not_there_have_failed(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    wait_for = CacheFolder.wait_for
    monkeypatch.setattr(CacheFolder, "wait_for", lambda self, names: wait_for(self, names, pause=waited.append))
    result = extract(open_corpus(make_manifest(3)), config, tmp_path / "features", backend=Elsewhere(None))
    assert [failed.shard for failed in result.failed_shards] == ["session1-000", "session2-000", "session3-000"]
    assert "every machine must see the same folder" in result.failed_shards[0].reason
    assert (result.utterances, result.shards) == (0, 0)
    assert waited


def test_a_device_of_the_nodes_is_not_asked_of_the_launcher(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    resources = Resources(device="cuda:99")
    backend = Elsewhere(LocalBackend(threads=1))
    result = extract(open_corpus(make_manifest(3)), config, tmp_path / "features", resources=resources, backend=backend)
    assert result.utterances == 3


@pytest.mark.parametrize(
    ("device", "asked", "tasks", "workers"),
    [
        ("cuda", None, 9, 4),
        ("cuda", None, 3, 3),
        ("cuda", None, 0, 1),
        ("cuda:1", None, 9, 1),
        ("cuda", 2, 9, 2),
        ("cpu", 3, 9, 3),
    ],
)
def test_a_machine_has_a_worker_for_every_gpu_and_none_without_a_shard(
    device: str, asked: int | None, tasks: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    backend = local_backend(Resources(device=device, workers=asked), tasks)
    assert (backend.workers, backend.device, backend.gpus) == (workers, device, 4)
    assert backend.threads == (1 if device == "cpu" else None)
    assert backend.in_hand == (2 if device == "cpu" else 3)
    assert len(backend.slots()) == workers


def test_more_workers_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    with pytest.raises(BackendError, match="8 workers are asked for on cuda, which is 4 GPUs"):
        local_backend(Resources(device="cuda", workers=8), 20).slots()
