"""Whoever follows docs/extending.md gets a head and a metric of their own through every command."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from mer.protocol import STATISTICS
from mer.tests.extending.doc_blocks import Told, done, give, result_of

# Commands, as a user gives them; what a section has made is there once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("extending heads_and_metrics")]


@pytest.fixture(scope="module")
def with_head(ready: Path) -> tuple[Path, dict[str, Told]]:
    return ready, done(ready, "A fusion head")


def test_a_head_of_ones_own_goes_through_every_command(with_head: tuple[Path, dict[str, Told]]) -> None:
    folder, told = with_head
    assert {command.partition(" ")[0] for command in told} == {"extract", "train-head", "grid", "predict", "export", "report"}
    config = result_of(folder, "*-gated_fusion.GatedFusion-*")["config"]
    digest = hashlib.sha256((folder / "gated_fusion.py").read_bytes()).hexdigest()
    assert config["head_source"] == {"module": "gated_fusion", "class": "GatedFusion", "sha256": digest}
    assert config["head_options"] == ["gate=sigmoid"]
    assert result_of(folder, "*-gated-F+T-*")["config"]["fusion"] == "gated"
    table = told["report runs --format markdown"].output
    for row in ("gated_fusion:GatedFusion F+S+T", "gated F+T", "gate softmax", "gate sigmoid", "late F+S+T"):
        assert f"\n| {row} |".replace("_", r"\_") in table
    by_run, by_export, _ = (each.output for words, each in told.items() if words.startswith("predict"))
    assert by_run
    assert by_run == by_export


def test_prediction_says_whose_head_is_missing_or_changed(with_head: tuple[Path, dict[str, Told]], tmp_path: Path) -> None:
    folder, _ = with_head
    (run,) = (folder / "runs").glob("*-gated_fusion.GatedFusion-*")
    shutil.copytree(run, tmp_path / "run")
    shutil.copy(folder / "hello.wav", tmp_path)
    words = ("predict", "run", "--wav", "hello.wav", "--text", "i am", "--speech-model", str(folder / "speech"))
    (missing,) = give([words], tmp_path, {}).values()
    (tmp_path / "gated_fusion.py").write_text((folder / "gated_fusion.py").read_text().replace("relu()", "tanh()"))
    (changed,) = give([words], tmp_path, {}).values()
    assert (missing.code, changed.code) == (2, 2)
    assert "class GatedFusion of module gated_fusion" in missing.errors
    assert "no module named 'gated_fusion'" in missing.errors
    assert "another source" in changed.errors


def test_a_metric_of_ones_own_is_in_every_table_also_of_results_made_without_it(ready: Path) -> None:
    for made in ("runs", "features"):
        shutil.rmtree(ready / made, ignore_errors=True)
    told = done(ready, "A metric")
    assert "worst_recall" not in result_of(ready, "*-linear-T-*")["summary"]["all"]
    assert set(result_of(ready, "*-late-F+T-*")["summary"]["all"]["worst_recall"]) == set(STATISTICS)
    (table,) = json.loads(told["report runs --json"].output)["tables"]
    rows = {row["name"]: row for row in table["table"]["rows"]}
    assert rows.keys() == {"linear T", "late F+T"}
    (file,) = (ready / "runs").glob("*-linear-T-*/predictions.csv")
    runs = list(csv.DictReader(file.read_text().splitlines()))
    recalls: dict[tuple[str, str, str], list[bool]] = {}
    for run in runs:
        recalls.setdefault((run["fold"], run["seed"], run["label"]), []).append(run["label"] == run["prediction"])
    worst = [
        min(sum(right) / len(right) for (*cell, _), right in recalls.items() if cell == [fold, seed])
        for fold, seed in {(run["fold"], run["seed"]) for run in runs}
    ]
    assert rows["linear T"]["worst_recall"] == pytest.approx(sum(worst) / len(worst))
    markdown = told["report runs --format markdown"].output
    assert "| F1 | worst | worst ± seeds | difference |" in markdown
    assert "worst = recall of the class that is recognised least" in markdown
    assert "worst_recall,worst_recall_std_folds" in told["report runs --format csv"].output
    terminal = told["report runs"].output
    assert "worst" in terminal.partition("linear T")[0]
