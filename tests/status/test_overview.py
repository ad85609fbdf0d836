from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.status import Overview, StatusError, StatusReader

NOW = 1_000_000.0
Put = Callable[[Path, object], Path]


def look(root: Path, *places: str, required: bool = True) -> Overview:
    return StatusReader(places=tuple(root / place for place in places), caches=root / "features", required=required).read(NOW)


@pytest.fixture
def everything(tmp_path: Path, cache: Path, begin_run: Callable[..., Path], put: Put) -> Path:
    """A cache, two runs of which one is a grid's, and a folder of alignments."""
    begin_run("own")
    begin_run("of-grid", fusion="linear")
    row = {"name": "a", "status": "done", "directory": "of-grid", "configs": [{}]}
    put(tmp_path / "runs" / "table" / "grid.json", {"rows": [row]})
    put(cache.parent / "pocketsphinx" / "alignment.jsonl", {})
    put(tmp_path / "encoder" / "config.json", {"model_type": "wav2vec2"})
    return tmp_path


@pytest.mark.parametrize("places", [["features", "runs"], ["features/toy", "runs"], [".", "features", "runs/own", "runs"]])
def test_everything_at_the_places_is_found_once(everything: Path, cache: Path, places: list[str]) -> None:
    found = look(everything, *places)
    assert [each.folder.name for each in found.alignments] == ["pocketsphinx"]
    assert [each.folder for each in found.caches] == [cache]
    assert [each.folder.name for each in found.grids] == ["table"]
    assert [each.directory.name for each in found.runs] == ["own"]
    assert found.failed is False


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("features/toy/0123456789ab", "caches"),
        ("features/toy/pocketsphinx", "alignments"),
        ("runs/own", "runs"),
        ("runs/table", "grids"),
        ("runs/of-grid", "runs"),
    ],
)
def test_each_thing_can_be_given_itself(everything: Path, place: str, kind: str) -> None:
    found = look(everything, place)
    counts = {name: len(getattr(found, name)) for name in ("alignments", "caches", "grids", "runs")}
    assert counts == {"alignments": 0, "caches": 0, "grids": 0, "runs": 0} | {kind: 1}


def test_a_place_with_nothing_is_refused_if_it_was_given(everything: Path) -> None:
    with pytest.raises(StatusError, match=r"encoder: no feature cache, run, grid or folder of `mer align` here"):
        look(everything, "runs", "encoder")
    assert look(everything, "runs", "encoder", required=False).runs
    with pytest.raises(StatusError, match=r"nowhere and .*encoder: no feature cache"):
        look(everything, "nowhere", "encoder", required=False)


def test_what_was_given_up_anywhere_is_known(
    everything: Path, cache: Path, begin_run: Callable[..., Path], put: Put, result: dict[str, Any]
) -> None:
    assert not look(everything, "features", "runs").failed
    failed = put(cache / "failed" / "session1-000.json", {"shard": "s", "reason": "r", "tries": 1, "host": "h", "time": 1.0})
    assert look(everything, "features", "runs").failed
    failed.unlink()
    failed = put(everything / "runs" / "of-grid" / "failed" / "fold1-seed0.json", {"fold": "1", "seed": 0, "reason": "nan"})
    assert look(everything, "features", "runs").failed
    failed.unlink()
    put(begin_run("own") / "result.json", result)
    assert look(everything, "features", "runs").failed
    put(begin_run("own") / "result.json", {**result, "failed_runs": []})
    assert not look(everything, "features", "runs").failed
    put(everything / "runs" / "table" / "grid.json", {"rows": [{"name": "a", "status": "failed", "failure": "no"}]})
    assert look(everything, "features", "runs").failed
