"""Builders of what a status looks at: sidecars of a cache, run directories, grids; all small files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.cache import FailedUtterance, Sidecar, UtteranceRecord
from mer.cache.layout import Dataset

KEY = "0123456789ab"
NOW = 1_000_000.0


def sidecar(name: str = "session1-000", *, ids: tuple[str, ...] = ("a",), failed: tuple[str, ...] = (), **notes: Any) -> Sidecar:
    records = tuple(
        UtteranceRecord(
            id=each, label="ang", speaker="1F", session="1", seconds=2.5, alignment="none", fingerprint="0" * 64, text=each
        )
        for each in ids
    )
    return Sidecar(
        key="0" * 64,
        shard=name,
        bytes=1,
        sha256="0" * 64,
        utterances=records,
        units={"F": (3,) * len(ids)},
        failed=tuple(FailedUtterance(id=each, reason="the wav is empty", fingerprint="1" * 64) for each in failed),
        datasets={"F/data": Dataset(shape=(3, 1, 1), dtype="<f2", offset=8)},
        provenance={"audio": dict.fromkeys(ids, "0" * 64), "conversions": {}} | notes,
    )


@pytest.fixture(scope="session")
def make_sidecar() -> Callable[..., Sidecar]:
    return sidecar


@pytest.fixture
def write_shard() -> Callable[..., None]:
    """Commit a shard of two utterances, 5 s of audio, that took `took` seconds until `finished`."""

    def write(
        cache: Path,
        name: str,
        *,
        host: str = "one",
        process: int = 1,
        finished: float = NOW,
        took: float = 10.0,
        failed: tuple[str, ...] = (),
    ) -> None:
        (cache / "shards").mkdir(parents=True, exist_ok=True)
        notes = {"host": host, "process": process, "started": finished - took, "finished": finished}
        made = sidecar(name, ids=(f"{name}/0", f"{name}/1"), failed=failed, **notes)
        (cache / "shards" / f"{name}.h5").write_bytes(b"")
        (cache / "shards" / f"{name}.json").write_text(made.to_json())

    return write


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The folder of a cache in which nothing is planned yet."""
    folder = tmp_path / "features" / "toy" / KEY
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text("{}")
    return folder


def put(path: Path, values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path


@pytest.fixture(name="put")
def put_fixture() -> Callable[[Path, object], Path]:
    """A JSON file, with its folders."""
    return put


@pytest.fixture
def plan(cache: Path) -> Callable[..., None]:
    """Plan shards in one document."""

    def write(*names: str) -> None:
        put(cache / "plan.json", {"format_version": 1, "shards": {name: ["x"] for name in names}})

    return write


@pytest.fixture
def begin_run(tmp_path: Path) -> Callable[..., Path]:
    """A run directory with its settings."""

    def begin(name: str = "toy-late-F+T-1", **config: Any) -> Path:
        directory = tmp_path / "runs" / name
        settings = {"fusion": "late", "branches": ["F", "T"], "seeds": [0, 1], "folds": ["1", "2", "3"]} | config
        put(directory / "config.json", {"config": settings, "cache_key": KEY + "0" * 52})
        return directory

    return begin


RESULT = {
    "format": 1,
    "config": {"fusion": "late"},
    "branches": ["F", "T"],
    "summary": {"all": {"ua": {"mean_of_folds": 0.75}, "wa": {"mean_of_folds": 0.7}}},
    "runs": [{}, {}, {}],
    "failed_runs": [{"fold": "2", "seed": 1, "reason": "loss is not finite"}],
}


@pytest.fixture
def result() -> dict[str, Any]:
    """What a finished run directory says."""
    return dict(RESULT)
