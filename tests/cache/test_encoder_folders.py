"""Notes of where encoders are: relative, of any content, looked for once."""

from pathlib import Path
from typing import Any

import pytest

from mer.cache.encoder_folders import NOTE, noted_places, places_from


def test_places_lead_from_the_folder_to_folders_and_leave_hub_ids_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "encoders" / "a").mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    monkeypatch.chdir(tmp_path)
    found = places_from(Path("cache"), {"speech": "encoders/a", "text": "lab/bert"})
    assert found == {"speech": "../encoders/a"}
    assert noted_places(tmp_path / "cache", [{NOTE: found}]) == {"speech": tmp_path / "encoders" / "a"}


def test_of_several_notes_the_last_that_is_there_counts_and_none_is_looked_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    asked: list[Path] = []
    is_dir = Path.is_dir

    def counting(path: Path) -> bool:
        asked.append(path)
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", counting)
    odd: list[dict[str, Any]] = [
        {},
        {NOTE: None},
        {NOTE: []},
        {NOTE: {"speech": ["a"], "text": 3}},
        {NOTE: {"speech": "gone"}},
    ]
    notes: list[dict[str, Any]] = [*[{NOTE: {"speech": "a"}}] * 1000, *[{NOTE: {"speech": "b"}}] * 1000, *odd]
    assert noted_places(tmp_path, notes) == {"speech": tmp_path / "b"}
    assert len(asked) == 3
