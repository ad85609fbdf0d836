"""`mer align` in several processes that are interrupted or killed: nothing is lost, nobody is left behind."""

import json
import os
import signal
import subprocess
import sysconfig
from pathlib import Path

import psutil
import pytest

from mer.tests.watched_command import start, wait_for, workers_of

MER = str(Path(sysconfig.get_path("scripts")) / "mer")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mer.corpus.synthetic import write_synthetic_corpus

    root = tmp_path_factory.mktemp("align-kill") / "corpus"
    write_synthetic_corpus(root, utterances=120, seed=7)
    return root


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """TextGrids of an alignment that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    subprocess.run([MER, "align", "--corpus", corpus, "--to", out, "--workers", "1", "-q"], check=False, capture_output=True)
    return grids(out)


def grids(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.TextGrid")}


def outcome_files(folder: Path) -> list[Path]:
    return list((folder / "outcomes").glob("[!.]*.jsonl"))


def begin(corpus: Path, out: Path) -> subprocess.Popen[str]:
    return start([MER, "align", "--corpus", str(corpus), "--to", str(out), "--workers", "2"])


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_what_is_aligned_stays(corpus: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    process = begin(corpus, tmp_path)
    wait_for(lambda: outcome_files(tmp_path), process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert workers_of(process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    _, left = psutil.wait_procs(family, timeout=10)
    message = f"interrupted: what is in {tmp_path} stays; give the same command again to go on from there\n"
    assert (process.returncode, out, err, left) == (130, "", message, [])
    kept = {json.loads(line)["id"] for path in outcome_files(tmp_path) for line in path.read_text().splitlines()}
    assert 0 < len(kept) < 120
    again = subprocess.run(
        [MER, "align", "--corpus", corpus, "--to", tmp_path, "--workers", "2", "-q", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    summary = json.loads(again.stdout)
    assert summary["made"] + len(kept) <= 120
    assert summary["aligned"] + len(summary["failed"]) == 120
    assert grids(tmp_path) == whole
    assert not (tmp_path / "outcomes").exists()


@pytest.mark.slow
def test_a_killed_worker_is_replaced(corpus: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    process = begin(corpus, tmp_path)
    wait_for(lambda: outcome_files(tmp_path) and workers_of(process), process)
    workers_of(process)[0].kill()
    out, err = process.communicate(timeout=120)
    assert "killed by SIGKILL" in err
    assert "not looked at" not in out
    assert grids(tmp_path) == whole
