import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mer.status import StatusReader, status_view
from mer.status.view import ago, audio, duration

NOW = 1_000_000.0
Put = Callable[[Path, object], Path]


def shown(root: Path, width: int) -> str:
    found = StatusReader(places=(root / "features", root / "runs"), caches=root / "features", required=True).read(NOW)
    text = io.StringIO()
    Console(file=text, width=width, highlight=False).print(status_view(found, NOW))
    return text.getvalue()


@pytest.fixture
def busy(
    tmp_path: Path,
    cache: Path,
    plan: Callable[..., None],
    write_shard: Callable[..., None],
    begin_run: Callable[..., Path],
    put: Put,
    result: dict[str, Any],
) -> Path:
    """Everything at once, with names as long as they get."""
    plan(*(f"session{s}-{n:03d}" for s in range(1, 6) for n in range(200)))
    for number in range(8):
        host = f"gpu-node-{number % 2:04d}.cluster.example.org"
        write_shard(cache, f"session1-{number:03d}", host=host, process=number, finished=NOW - number, failed=("bad",))
    said = {"reason": "was killed by SIGKILL [1/2]", "tries": 2, "host": "gpu-node-0001", "time": NOW - 60}
    put(cache / "failed" / "session5-007.json", {"shard": "session5-007", **said})
    (cache / "shards" / "session1-007.json").write_text("{")
    running = begin_run("iemocap-coattention-F+P+S+W+T-0123abcd", fusion="coattention", branches=list("FPSWT"))
    (running / "running").mkdir()
    (running / "running" / "fold1-seed0.jsonl").write_text('{"epoch": 12, "validation_ua": 0.5125}\n')
    put(begin_run("toy-done") / "result.json", result)
    row = {"name": "multi-level F+P+S+T", "published_ua": 76.31}
    waiting = {**row, "name": "late [f]", "configs": [{"fusion": "none"}]}
    failed = {**row, "name": "late F", "status": "failed", "failure": "the cache has no [P]"}
    rows = [{**row, "status": "done", "directory": "toy-of-grid", "summary": result["summary"]}, waiting, failed]
    put(begin_run("toy-of-grid") / "result.json", {**result, "failed_runs": []})
    put(tmp_path / "runs" / "toy-table" / "grid.json", {"grid": {"name": "table"}, "rows": rows})
    return tmp_path


@pytest.mark.parametrize("width", [80, 120])
def test_no_figure_is_cut_in_a_terminal(busy: Path, width: int) -> None:
    text = shown(busy, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    flat = " ".join(text.split())
    for part in (
        "7 of 1,000 shards planned so far (1%)",
        "14 utterances, 35 s of audio done, about 1.4 h to do",
        "3.5 x real time: done in about 24 min",
        "7 utterances could not be extracted",
        "torn, made again by the next command: session1-007",
        "1 shard given up; the same command tries again: session5-007: try 2 on gpu-node-0001: was killed by SIGKILL [1/",
        "3 rows: 2 done, 1 waiting",
        "late [f] waiting - - 76.31",
        "late F: failed: the cache has no [P]",
        "1, epoch 12 (51.25)",
        "late F+T: fold 2 seed 1 failed: loss is not finite",
    ):
        assert part in flat, part


def test_only_the_first_failures_are_shown(busy: Path, cache: Path, put: Put) -> None:
    for number in range(7):
        said = {"shard": f"session4-{number:03d}", "reason": "full", "tries": 1, "host": "h", "time": 1.0}
        put(cache / "failed" / f"session4-{number:03d}.json", said)
    text = " ".join(shown(busy, 120).split())
    assert "session4-004: try 1 on h: full and 3 more" in text
    assert "session4-005" not in text


def test_a_dead_run_is_seen_by_its_last_sign_of_life(busy: Path) -> None:
    found = StatusReader(places=(busy / "runs",), caches=busy, required=True)
    text = io.StringIO()
    later = max(run.last or 0.0 for run in found.read(NOW).runs) + 7200
    Console(file=text, width=100).print(status_view(found.read(later), later))
    line = next(line for line in text.getvalue().splitlines() if line.startswith("coattention"))
    assert "silent" in line
    assert "2.0 h ago" in line


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3569, "59 min"),
        (3580, "1.0 h"),
        (47 * 3600, "47.0 h"),
        (60 * 3600, "2.5 days"),
    ],
)
def test_durations_are_short(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_audio_is_told_in_hours_and_clocks_of_others_may_be_ahead() -> None:
    assert audio(400 * 3600) == "400 h"
    assert audio(30) == "30 s"
    assert (ago(None, 5), ago(7.0, 5.0), ago(3.0, 5.0)) == ("-", "0 s ago", "2 s ago")
