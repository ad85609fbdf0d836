"""Builders of small caches, so that no test needs binary files."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.cache import CacheFolder, FailedUtterance, Units, UtteranceRecord, build_shard
from mer.cache.plan_file import PlanFile, packed
from mer.files import Disk

Utterance = tuple[UtteranceRecord, dict[str, Units]]


class UnsyncedDisk(Disk):
    """Does not wait for the device: what a test does not look at may be fast."""

    def fsync(self, descriptor: int) -> None:
        pass

    def fsync_folder(self, folder: Path) -> None:
        pass


def make_spec(granularities: str = "FST", dtype: str = "float16", name: str = "toy") -> dict[str, Any]:
    return {
        "format_version": 1,
        "corpus": {"name": name, "kind": "manifest", "synthetic": True},
        "granularities": list(granularities),
        "layers": {"speech": [1, 2], "text": [1, 2, 3]},
        "dim": {"speech": 4, "text": 5},
        "storage": {"dtype": dtype},
        "speech": {"model": "tiny-speech"},
        "text": {"model": "tiny-text"},
    }


def make_utterance(
    utterance_id: str,
    units: Mapping[str, int],
    *,
    session: str = "1",
    seed: int = 0,
    fingerprint: str = "0" * 64,
) -> Utterance:
    random = np.random.default_rng(seed)
    record = UtteranceRecord(
        id=utterance_id,
        label="ang",
        speaker=f"{session}F",
        session=session,
        dialogue="d1",
        style="improvised",
        text="nothing to say",
        seconds=1.5,
        alignment="corpus",
        fingerprint=fingerprint,
    )
    found = {}
    for granularity, count in units.items():
        shape = (count, 3, 5) if granularity == "T" else (count, 2, 4)
        edges = np.linspace(0.0, 1.5, count + 1)
        segment = granularity in "PSW"
        found[granularity] = Units(
            data=random.standard_normal(shape).astype(np.float16),
            span=np.stack([edges[:-1], edges[1:]], axis=1) if segment else None,
            labels=tuple(f"u{n}" for n in range(count)) if segment else None,
        )
    return record, found


def commit(folder: CacheFolder, name: str, utterances: Sequence[Utterance], failed: Sequence[FailedUtterance] = ()) -> None:
    folder.commit(name, build_shard(folder.spec, utterances, failed), {"host": "test"})


@pytest.fixture
def spec() -> Callable[..., dict[str, Any]]:
    return make_spec


@pytest.fixture
def utterance() -> Callable[..., Utterance]:
    return make_utterance


@pytest.fixture
def empty_cache(tmp_path: Path) -> Callable[..., CacheFolder]:
    def make(granularities: str = "FST", root: Path | None = None, **options: str) -> CacheFolder:
        return CacheFolder.create(root or tmp_path / "features", make_spec(granularities, **options), disk=UnsyncedDisk())

    return make


@pytest.fixture
def small_cache(empty_cache: Callable[..., CacheFolder]) -> CacheFolder:
    """Two sessions in two shards, one failed utterance."""
    folder = empty_cache()
    sizes = {"F": 3, "S": 2, "T": 4}
    commit(
        folder,
        "session1-000",
        [make_utterance("b", sizes, seed=1), make_utterance("a", {**sizes, "F": 1}, seed=2)],
        [FailedUtterance(id="bad", reason="the wav is empty", fingerprint="1" * 64)],
    )
    commit(folder, "session2-000", [make_utterance("c", sizes, session="2", seed=3)])
    return folder


@pytest.fixture
def write_plan() -> Callable[[CacheFolder, Mapping[str, Sequence[str]]], None]:
    """Put plan files into a cache's folder, as a run that was stopped leaves them."""

    def write(folder: CacheFolder, plan: Mapping[str, Sequence[str]]) -> None:
        for name, ids in plan.items():
            PlanFile(shard=name, packed=packed(ids), bytes=100).write(folder, exclusive=True)

    return write


@pytest.fixture(name="commit")
def commit_fixture() -> Callable[..., None]:
    return commit


@pytest.fixture
def forge() -> Callable[[dict[str, object]], str]:
    """Text of a sidecar whose own digest is right, whatever it says."""

    def write(document: dict[str, object]) -> str:
        content = {name: value for name, value in document.items() if name != "self_sha256"}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return json.dumps(content | {"self_sha256": hashlib.sha256(canonical.encode()).hexdigest()})

    return write
