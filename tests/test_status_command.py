"""`mer status`, as a user gives it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from mer.cli import app

RUN = CliRunner()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory that nobody trains."""
    directory = tmp_path / "runs" / "toy"
    directory.mkdir(parents=True)
    (directory / "config.json").write_text('{"config": {"fusion": "late", "branches": ["T"], "seeds": [0], "folds": ["1"]}}')
    return directory


def fail(directory: Path) -> None:
    (directory / "failed").mkdir()
    (directory / "failed" / "fold1-seed0.json").write_text('{"fold": "1", "seed": 0, "reason": "loss is not finite"}')


def test_places_are_the_cache_and_runs_or_those_given(run: Path, tmp_path: Path) -> None:
    options = ["--cache", str(tmp_path / "features"), "--runs", str(tmp_path / "runs")]
    default = RUN.invoke(app, ["status", *options])
    assert default.exit_code == 0, default.stderr
    assert "late T" in default.stdout
    given = RUN.invoke(app, ["status", str(run), "--json"])
    assert [each["directory"] for each in json.loads(given.stdout)["runs"]] == [str(run)]


def test_exit_code_1_says_that_something_was_given_up(run: Path) -> None:
    fail(run)
    result = RUN.invoke(app, ["status", str(run)])
    assert result.exit_code == 1
    assert "fold 1 seed 0 failed: loss is not finite" in result.stdout


def test_exit_code_2_says_that_nothing_is_there(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["status", str(tmp_path)])
    assert result.exit_code == 2
    assert f"error: {tmp_path}: no feature cache, run, grid" in result.stderr


def look_times(monkeypatch: pytest.MonkeyPatch, between: list[Callable[[], object]]) -> None:
    def sleep(seconds: float) -> None:
        assert seconds == 0.5
        if not between:
            raise KeyboardInterrupt
        between.pop(0)()

    monkeypatch.setattr("mer.commands.console.time", SimpleNamespace(sleep=sleep, time=time.time))


def test_watching_goes_on_over_places_where_nothing_is_yet(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aside = tmp_path / "aside"
    run.rename(aside)
    look_times(monkeypatch, [lambda: aside.rename(run), lambda: fail(run)])
    result = RUN.invoke(app, ["status", str(run), "--watch", "0.5"])
    assert result.exit_code == 130
    assert result.stdout.count("late T\n") + result.stdout.count("late T ") >= 2
    assert result.stdout.count("loss is not finite") == 1


def test_a_watched_terminal_says_what_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    look_times(monkeypatch, [])
    result = RUN.invoke(app, ["status", str(tmp_path), "--watch", "0.5"])
    assert result.exit_code == 130
    assert "nothing yet in" in result.stdout


@pytest.mark.slow
def test_a_running_extraction_is_seen_from_outside_and_goes_on_after_a_kill(
    tmp_path: Path, speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path
) -> None:
    from mer.corpus.synthetic import write_synthetic_corpus

    write_synthetic_corpus(tmp_path / "corpus", utterances=100, seed=5)
    words = [sys.executable, "-m", "mer.cli", "extract", "--corpus", str(tmp_path / "corpus"), "--workers", "2", "--quiet"]
    words += ["--cache", str(tmp_path / "features"), "--text-model", str(text_encoder_folder)]
    words += ["--speech-model", str(speech_encoder_folder("wav2vec2"))]

    def look() -> dict[str, Any]:
        result = RUN.invoke(app, ["status", str(tmp_path / "features"), "--json"])
        caches: list[dict[str, Any]] = json.loads(result.stdout)["caches"] if result.exit_code == 0 else [{"committed": 0}]
        return caches[0]

    with subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while not (seen := look())["committed"]:
            assert process.poll() is None
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
    assert (seen["state"], seen["planned"]) == ("running", 5)
    killed = look()
    assert seen["committed"] <= killed["committed"] < 5
    assert killed["hosts"][0]["shards"] == killed["committed"]
    rest = json.loads(subprocess.run([*words, "--json"], check=True, capture_output=True).stdout)
    assert rest["shards_made"] == 5 - killed["committed"]
    done = look()
    assert (done["state"], done["committed"], done["utterances"]) == ("done", 5, rest["utterances"])
    assert done["seconds"] == pytest.approx(killed["seconds"] + rest["audio_seconds"])


@pytest.mark.slow
def test_ctrl_c_ends_the_look(run: Path) -> None:
    words = [sys.executable, "-m", "mer.cli", "status", str(run), "--watch", "0.2", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "{\n"
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted: only the look at it has ended\n")
