import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from mer.status.alignment_status import read_alignment_status

NOW = 1_000_000.0


def outcomes(path: Path, ids: Iterable[str], reason: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    rows = [{"id": each, "fingerprint": "0", "seconds": 2.0, "reason": reason} for each in ids]
    path.write_text("".join(json.dumps(row) + "\n" for row in [{"mer": "alignment"}, *rows]) + '{"id": "torn')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    outcomes(tmp_path / "alignment.jsonl", "ab")
    outcomes(tmp_path / "outcomes" / "piece-1.jsonl", "bc")
    outcomes(tmp_path / "outcomes" / "piece-2.jsonl", "d", "no transcript")
    return tmp_path


def set_times(folder: Path, moment: float) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (moment, moment))


def test_utterances_in_the_log_and_in_pieces_count_once(folder: Path) -> None:
    set_times(folder, NOW - 7)
    found = read_alignment_status(folder, NOW)
    assert (found.aligned, found.failed, found.seconds, found.pieces, found.last) == (3, 1, 8.0, 2, NOW - 7)


def test_it_is_done_when_all_is_in_the_log(folder: Path) -> None:
    set_times(folder, NOW - 100)
    assert read_alignment_status(folder, NOW).state == "running"
    assert read_alignment_status(folder, NOW + 1000).state == "silent"
    for path in (folder / "outcomes").iterdir():
        path.unlink()
    assert read_alignment_status(folder, NOW).state == "done"
    outcomes(folder / "alignment.jsonl", "")
    set_times(folder, NOW - 1000)
    assert read_alignment_status(folder, NOW).state == "waiting"
