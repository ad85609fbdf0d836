"""Ctrl-C in the middle of `mer extract`: one short message, nobody left behind, and in the end the same bytes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mer.backends.interrupt import AGAIN
from mer.tests.test_grid_command import small_cache
from mer.tests.tracking.test_commands import ROWS
from mer.tests.watched_command import start, wait_for, without_progress, workers_of

MER = str(Path(sysconfig.get_path("scripts")) / "mer")
ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
# A traceback is dozens of lines, a bar dozens of frames.
MESSAGE = "interrupted: what is in {cache} stays; give the same command again to go on from there\n"


@pytest.fixture(scope="module")
def arguments(
    tmp_path_factory: pytest.TempPathFactory, speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path
) -> list[str]:
    """`mer extract` without its cache: 120 synthetic utterances, each session one shard."""
    from mer.corpus.synthetic import write_synthetic_corpus

    corpus = tmp_path_factory.mktemp("interrupt") / "corpus"
    write_synthetic_corpus(corpus, utterances=120, seed=5)
    encoders = ["--speech-model", str(speech_encoder_folder("wav2vec2")), "--text-model", str(text_encoder_folder)]
    return [MER, "extract", "--corpus", str(corpus), *encoders]


@pytest.fixture(scope="module")
def whole(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Shards of an extraction that nothing interrupted."""
    cache = tmp_path_factory.mktemp("whole")
    subprocess.run([*arguments, "--cache", str(cache), "--workers", "1", "-q"], check=True, capture_output=True, env=ENVIRONMENT)
    return shards(cache)


def shards(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(cache.glob("*/*/shards/*.h5"))}


def press_ctrl_c(process: subprocess.Popen[str]) -> tuple[str, str, list[psutil.Process]]:
    """SIGINT to the whole group, as a terminal sends it: what was printed, and which descendants are left."""
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    left, _ = psutil.wait_procs(family, timeout=10)[::-1]
    return out, without_progress(err), left


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_between_shards_ends_cleanly_and_the_same_command_goes_on(
    workers: int, arguments: list[str], whole: dict[str, bytes], tmp_path: Path
) -> None:
    command = [*arguments, "--cache", str(tmp_path), "--workers", str(workers)]
    process = start(command, ENVIRONMENT)
    wait_for(lambda: list(tmp_path.glob("*/*/shards/*.json")), process)
    assert workers == 1 or workers_of(process)
    out, err, left = press_ctrl_c(process)
    assert (process.returncode, out, err) == (130, "", MESSAGE.format(cache=tmp_path))
    assert left == []
    kept = len(list(tmp_path.glob("*/*/shards/*.json")))
    assert 0 < kept < len(whole)
    (status,) = json.loads(subprocess.check_output([MER, "status", str(tmp_path), "--json"]))["caches"]
    assert status["state"] == "stopped"
    resumed = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert json.loads(resumed.stdout)["shards_made"] == len(whole) - kept
    assert "utterances are in the cache already" in resumed.stderr
    assert shards(tmp_path) == whole
    assert list(tmp_path.glob("*/*/tmp/*")) == []
    assert list(tmp_path.glob("*/*/starts*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.4])
def test_ctrl_c_while_workers_start_prints_no_traceback(seconds: float, arguments: list[str], tmp_path: Path) -> None:
    process = start([*arguments, "--cache", str(tmp_path), "--workers", "2"], ENVIRONMENT)
    wait_for(lambda: workers_of(process), process)
    time.sleep(seconds)
    out, err, left = press_ctrl_c(process)
    assert (process.returncode, out, err) == (130, "", MESSAGE.format(cache=tmp_path))
    assert left == []


@pytest.mark.slow
def test_workers_do_not_hear_ctrl_c_even_while_they_import(arguments: list[str], tmp_path: Path) -> None:
    process = start([*arguments, "--cache", str(tmp_path), "--workers", "2"], ENVIRONMENT)
    wait_for(lambda: len(workers_of(process)) == 2, process)
    for worker in workers_of(process):
        worker.send_signal(signal.SIGINT)
    wait_for(lambda: list(tmp_path.glob("*/*/shards/*.json")), process)
    _, err, left = press_ctrl_c(process)
    assert (process.returncode, err, left) == (130, MESSAGE.format(cache=tmp_path), [])


@pytest.mark.slow
def test_ctrl_c_while_a_corpus_is_spoken_leaves_nothing(tmp_path: Path) -> None:
    process = start([MER, "synth", str(tmp_path / "corpus"), "--utterances", "2000"], ENVIRONMENT)
    wait_for(lambda: list(tmp_path.glob(".part-*/Session*/sentences/wav/*/*.wav")), process)
    out, err, left = press_ctrl_c(process)
    advice = f"interrupted: nothing was written to {tmp_path / 'corpus'}; give the same command again\n"
    assert (process.returncode, out, err, left, list(tmp_path.iterdir())) == (130, "", advice, [], [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "gap"),
    [
        ("extract", 0.0),
        ("extract by 2", 0.5),
        ("extract by 2", 0.05),
        ("train-head", 0.5),
        ("finetune", 0.05),
        ("grid", 0.0),
        ("grid by 2", 0.05),
    ],
)
def test_ctrl_c_twice_ends_every_long_command_with_plain_lines(
    command: str, gap: float, arguments: list[str], tmp_path: Path
) -> None:
    features, runs = tmp_path / "features", tmp_path / "runs"
    name, _, workers = command.partition(" by ")
    by = ["--workers", workers or "1"]
    # Heads that never end by themselves, and files whose writing is seen.
    endless = ["--max-epochs", "1000000", "--device", "cpu", "--cache", str(features), "--runs", str(runs)]
    commands: dict[str, tuple[list[str], Callable[[], object]]] = {
        "extract": ([*arguments, "--cache", str(features), *by], lambda: list(features.glob("*/*/shards/*.json"))),
        "train-head": ([MER, "train-head", "--granularity", "F", *endless], lambda: list(runs.glob("*/running/*"))),
        "grid": (
            [MER, "grid", str(tmp_path / "rows.toml"), "--backend", "local", *by, *endless],
            lambda: list(runs.glob("*/running/*")),
        ),
        "finetune": (
            [MER, "finetune", *arguments[2:], "--runs", str(runs), "--batch", "8"],
            lambda: list(runs.glob("*/steps.jsonl")),
        ),
    }
    if name in ("train-head", "grid"):
        small_cache(features, "FT")
    (tmp_path / "rows.toml").write_text(ROWS)
    line, begun = commands[name]
    process = start(line, ENVIRONMENT)
    wait_for(begun, process)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(gap)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    plain = without_progress(err).replace(AGAIN.decode(), "").splitlines()
    assert len([each for each in plain if each.startswith("interrupted: ")]) == 1
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert not [each for each in tmp_path.rglob("*~*") if each.is_file()], "an unfinished file"


def test_a_third_ctrl_c_leaves_at_once() -> None:
    lines = (
        "import time",
        "from mer.commands.console import clear_errors",
        "with clear_errors():",
        "    try: print(flush=True); time.sleep(60)",
        "    finally: time.sleep(60)",
    )
    process = start([sys.executable, "-c", "\n".join(lines)], ENVIRONMENT)
    assert process.stdout is not None
    process.stdout.readline()
    for _ in range(3):
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, AGAIN.decode())
