"""The whole way from shards on disk to a result, through `mer.cache` itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mer.cache import CacheFolder, FailedUtterance, Units, UtteranceRecord, build_shard, open_cache
from mer.heads import HeadConfig, train_head
from mer.heads.features.features import Features

SPEC = {
    "format_version": 1,
    "corpus": {"name": "planted", "kind": "manifest", "synthetic": True},
    "granularities": ["F", "S", "T"],
    "layers": {"speech": [1, 2, 3], "text": [1, 2, 3]},
    "dim": {"speech": 8, "text": 8},
    "storage": {"dtype": "float16"},
}
CONFIG = HeadConfig(granularities=("F", "S"), hidden=8, max_epochs=2, learning_rate=0.02, batch=8, seeds=(0,), device="cpu")


def write(cache: Any, root: Path) -> CacheFolder:
    folder = CacheFolder.create(root, SPEC)
    table = cache.utterances
    for session in sorted(set(table.sessions)):
        content = []
        for row in (row for row, each in enumerate(table.sessions) if each == session):
            record = UtteranceRecord(
                id=table.ids[row],
                label=table.labels[row],
                speaker=table.speakers[row],
                session=session,
                style=table.styles[row],
                seconds=1.0,
                alignment="none",
                fingerprint="0" * 64,
            )
            units = {}
            for name, arrays in cache.units.items():
                count = len(arrays[row])
                span = np.stack([np.arange(count), np.arange(count) + 1.0], 1) if name == "S" else None
                labels = ("a",) * count if name == "S" else None
                units[name] = Units(data=arrays[row], span=span, labels=labels)
            content.append((record, units))
        failed = [FailedUtterance(id=f"lost-{session}", reason="too short", fingerprint="0" * 64)]
        folder.commit(f"session{session}-000", build_shard(SPEC, content, failed), {})
    return folder


def test_a_cache_on_disk_gives_the_result_of_the_same_features_in_memory(make_cache: Callable[..., Any], tmp_path: Path) -> None:
    planted = make_cache()
    cache = open_cache(write(planted, tmp_path / "features").path)
    features: Features = cache
    found = train_head(features, CONFIG, tmp_path / "runs")
    planted.key, planted.failed = cache.key, ("lost",) * 3
    expected = train_head(planted, CONFIG, tmp_path / "expected")
    assert found.values["utterances"]["failed_extraction"] == 3
    assert found.values["cache_key"] == cache.key
    for file in ("predictions.csv", "metrics.jsonl", "weights/fold2-seed0.safetensors"):
        assert (found.directory / file).read_bytes() == (expected.directory / file).read_bytes()


def test_streaming_from_disk_changes_no_number(make_cache: Callable[..., Any], tmp_path: Path) -> None:
    folder = write(make_cache(), tmp_path / "features").path
    whole = train_head(open_cache(folder), CONFIG, tmp_path / "whole")
    streamed = train_head(open_cache(folder), replace(CONFIG, ram_gib=1e-6), tmp_path / "streamed")
    assert (whole.directory / "predictions.csv").read_bytes() == (streamed.directory / "predictions.csv").read_bytes()
