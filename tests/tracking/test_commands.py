"""`--track` as a person meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.tests.heads.test_train_head import files
from mer.tests.test_grid_command import small_cache
from mer.tests.tracking.test_heads_are_tracked import Failing, check
from mer.tests.tracking.told import told
from mer.tracking import TRACKERS

run = CliRunner().invoke
QUICK = ["--seeds", "1", "--folds", "1-2", "--max-epochs", "3", "--device", "cpu"]
ROWS = """
[grid]
title = "Two rows"
[[rows]]
fusion = "late"
granularity = "F"
learning_rate = 0.02
[[rows]]
fusion = "linear"
modality = "speech"
granularity = "F"
learning_rate = 0.02
"""


@pytest.mark.parametrize(("command", "path"), [("train-head", "--cache"), ("finetune", "--corpus")])
def test_a_missing_package_is_refused_before_anything_is_read(
    command: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.tracking.tracker_kind.find_spec", lambda name: None)
    found = run(app, [command, "--track", "mlflow", path, str(tmp_path / "nowhere")])
    assert found.exit_code == 2
    assert 'error: track mlflow: the package mlflow is not installed: `pip install "mer-fusion[mlflow]"`' in found.stderr


def test_a_tracker_that_fails_leaves_the_table_and_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS._entries, "failing", Failing(0))
    cache = small_cache(tmp_path / "features", "FT")
    arguments = ["train-head", "--granularity", "F", "--cache", str(cache), "--runs", str(tmp_path / "runs"), "--json", *QUICK]
    found = run(app, [*arguments, "--track", "failing"])
    assert found.exit_code == 1
    assert "the same command sends what is missing" in found.stderr
    assert json.loads(found.stdout)["results"][0]["summary"]["runs"] == 2
    monkeypatch.setitem(TRACKERS._entries, "failing", Failing(99))
    assert run(app, [*arguments, "--track", "failing"]).exit_code == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # mlflow under SQLAlchemy 2.1
@pytest.mark.parametrize("track", ["wandb", "mlflow"])
def test_rows_that_workers_train_in_other_processes_are_tracked_by_them(
    track: str, tmp_path: Path, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow in a database of its own, as without any setting."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    cache = small_cache(tmp_path / "features", "FT")
    (tmp_path / "rows.toml").write_text(ROWS)
    for runs, more in (("runs", ["--track", track]), ("plain", [])):
        command = [sys.executable, "-m", "mer.cli", "grid", str(tmp_path / "rows.toml"), "--cache", str(cache), *QUICK]
        workers = ["--backend", "local", "--workers", "2"]
        subprocess.run([*command, "--runs", str(tmp_path / runs), *workers, *more], check=True, timeout=300)
    for file in sorted((tmp_path / "runs").glob("*/result.json")):
        directory = file.parent
        check(told(track, directory), directory, json.loads(file.read_text()))
        kept = {name: image for name, image in files(directory).items() if name.split("/")[0] not in ("tracked", track)}
        assert kept == files(tmp_path / "plain" / directory.name)
    assert len(list((tmp_path / "runs").glob("*/tracked"))) == 2
