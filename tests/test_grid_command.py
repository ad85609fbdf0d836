"""`mer grid` as a person meets it: on a small cache, with presets and files, right and wrong."""

import json
import os
import re
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import mer
from mer.cache import CacheFolder, Units, UtteranceRecord, build_shard
from mer.cli import app
from mer.heads import HeadError
from mer.tests.watched_command import start, workers_of

run = CliRunner().invoke
QUICK = ["--seeds", "1", "--folds", "1-2", "--max-epochs", "1", "--device", "cpu"]


def small_cache(root: Path, granularities: str, *, own_texts: int = 0) -> Path:
    """Three sessions of twelve utterances, four classes, 8 values in each of 2 layers."""
    spec = {
        "format_version": 1,
        "corpus": {"name": "toy", "kind": "iemocap", "synthetic": True},
        "granularities": list(granularities),
        "layers": {"speech": [1, 2], "text": [1, 2]},
        "dim": {"speech": 8, "text": 8},
        "storage": {"dtype": "float16"},
        "speech": {"model": "tiny-speech"},
        "text": {"model": "tiny-text"},
    }
    folder = CacheFolder.create(root, spec)
    random = np.random.default_rng(0)
    for session in "123":
        utterances = []
        for number in range(12):
            record = UtteranceRecord(
                id=f"s{session}-{number:02d}",
                label=("ang", "hap", "sad", "neu")[number % 4],
                speaker=session + "FM"[number % 2],
                session=session,
                dialogue=f"d{session}",
                style="improvised",
                text=f"sentence {number} {session if number < own_texts else 0}",
                seconds=1.0,
                alignment="corpus",
                fingerprint="0" * 64,
            )
            units = {}
            for name in granularities:
                count = int(random.integers(1, 5))
                segments = name in "PSW"
                edges = np.linspace(0.0, 1.0, count + 1)
                units[name] = Units(
                    data=random.standard_normal((count, 2, 8)).astype(np.float16),
                    span=np.stack([edges[:-1], edges[1:]], axis=1) if segments else None,
                    labels=tuple(f"u{n}" for n in range(count)) if segments else None,
                )
            utterances.append((record, units))
        folder.commit(f"session{session}-000", build_shard(spec, utterances, ()), {"host": "test"})
    return root


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_cache(tmp_path_factory.mktemp("all") / "features", "FPSWT")


def grid(features: Path, runs: Path, *arguments: str) -> Any:
    return run(app, ["grid", *arguments, "--cache", str(features), "--runs", str(runs)])


def shares(value: Any) -> list[float]:
    """Every number in some JSON."""
    if isinstance(value, dict | list):
        return [found for each in (value.values() if isinstance(value, dict) else value) for found in shares(each)]
    return [float(value)] if isinstance(value, int | float) else []


def test_four_trainings_of_one_head_are_four_rows_whose_names_say_the_difference(tmp_path: Path) -> None:
    """Protocol, width and normalisation, in every place that names rows."""
    features = small_cache(tmp_path / "features", "FT", own_texts=8)
    head = ["train-head", "--granularity", "F", "--cache", str(features), "--runs", str(tmp_path / "runs"), *QUICK]
    for options in ([], ["--text-disjoint"], ["--seeds", "2"], ["--hidden", "16", "--normalize", "none"]):
        done = run(app, [*head, *options])
        assert done.exit_code == 0, done.output
    names = {"late F+T", "late F+T, text-disjoint", "late F+T, seeds 2", "late F+T, hidden 16, normalize none"}
    report = ["report", str(tmp_path / "runs")]
    table = json.loads(run(app, [*report, "--json"]).stdout)["tables"][0]["table"]
    assert {row["name"] for row in table["rows"]} == names
    assert all(row["left_out"] == "" for row in table["rows"] if row["name"] != "late F+T, text-disjoint")
    (disjoint,) = (row for row in table["rows"] if row["name"] == "late F+T, text-disjoint")
    assert re.search(r"text-disjoint training without utterances .*: 8 for test session 1, 8 for 2", disjoint["left_out"])
    for name in ("terminal", "markdown", "latex", "csv"):
        done = run(app, [*report, "--format", name])
        said = " ".join(done.stdout.split())
        assert disjoint["left_out"] in said, name
        if name == "terminal":
            assert max(map(len, done.stdout.splitlines())) <= 80
        else:
            assert all(each in said for each in names), name
    pair = json.loads(run(app, [*report, "--compare", "late F+T, text-disjoint", "late F+T, seeds 2", "--json"]).stdout)
    assert (pair["a"], pair["b"]) == ("late F+T, text-disjoint", "late F+T, seeds 2")
    wrong = run(app, [*report, "--compare", "late F+T, text-disjoint", "late F"])
    assert wrong.exit_code == 2
    assert "late F: no run directory and no row" in " ".join(wrong.stderr.split())
    status = json.loads(run(app, ["status", str(tmp_path / "runs"), "--json"]).stdout)
    assert {each["name"] for each in status["runs"]} == names


@pytest.mark.parametrize(("name", "rows"), [("zhao2022-table1", 10), ("zhao2022-table2", 16), ("zhao2022-table3", 4)])
def test_a_preset_prints_every_row_and_no_figure_of_the_paper_but_what_differs_from_it(
    features: Path, tmp_path: Path, name: str, rows: int
) -> None:
    result = grid(features, tmp_path, name, *QUICK)
    assert result.exit_code == 0, result.output
    assert "synthetic speech: not comparable with the paper" in result.stdout
    data = json.loads(grid(features, tmp_path, name, *QUICK, "--json", "--quiet").stdout)
    figures = re.findall(r"published_ua = (.*)", (files("mer.grids") / "presets" / f"{name}.toml").read_text("utf-8"))
    assert len(figures) == rows
    ours = {f"{100 * value:.2f}" for value in shares(data)}
    for figure in set(figures) - ours:
        assert figure not in result.stdout
    assert "differs in: corpus, n, folds" in " ".join(result.stdout.split())
    assert "compared with" in result.stdout
    assert len(data["rows"]) == rows
    for row in data["rows"]:
        assert row["status"] == "done"
        assert [row[name] for name in ("published_ua", "published_wa", "paper", "paper_wa")] == [None] * 4
        assert set(row["setup"]["differs"]) >= {"corpus", "n", "folds"}
        assert f"{100 * row['summary']['all']['ua']['mean_of_folds']:.2f}" in result.stdout
        assert row["summary"]["folds"] == ["1", "2"]
        assert f"{data['rows'].index(row) + 1}/{rows} {row['name']}: UA" in result.stderr
    assert len(data["comparisons"]) == rows - 1
    assert json.loads((Path(data["directory"]) / "grid.json").read_text()) == {k: v for k, v in data.items() if k != "directory"}


def test_a_finished_grid_is_told_again_without_training(features: Path, tmp_path: Path) -> None:
    arguments = ["zhao2022-table3", *QUICK]
    first = grid(features, tmp_path, *arguments)
    again = grid(features, tmp_path, *arguments)
    assert again.stdout == first.stdout
    assert again.stderr.count("finished before") == 4
    assert "at once on cpu" in first.stderr
    assert "at once on cpu" not in again.stderr


def test_tables_share_what_they_have_in_common(features: Path, tmp_path: Path) -> None:
    grid(features, tmp_path, "zhao2022-table3", *QUICK)
    second = grid(features, tmp_path, "zhao2022-table2", *QUICK)
    assert second.stderr.count("finished before") == 2


def test_quiet_says_nothing_on_standard_error(features: Path, tmp_path: Path) -> None:
    result = grid(features, tmp_path, "zhao2022-table3", *QUICK, "--quiet")
    assert result.stderr == ""
    assert "multi-level" in result.stdout


def test_options_go_before_the_file(features: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[defaults]\nseeds = 3\nmax_epochs = 9\npatience = 1\n[axes]\nvalidation = ["random", "session"]\n')
    given = ["--seeds", "2", "--folds", "2", "--max-epochs", "1", "--validation", "session", "--text-disjoint"]
    given += ["--stack", "1", "--ram", "1", "--device-memory", "1", "--classes", "as-is"]
    result = grid(features, tmp_path / "runs", str(file), *given, "--json", "--quiet")
    assert result.exit_code == 1, result.output
    (row,) = json.loads(result.stdout)["rows"]
    (config,) = row["configs"]
    assert config["seeds"] == [0, 1]
    assert (config["folds"], config["max_epochs"], config["patience"]) == (["2"], 1, 1)
    assert (config["validation"], config["text_disjoint"], config["classes"]) == ("session", True, "as-is")
    # Every sentence of this corpus is said in every session.
    assert "no training utterance" in row["failure"]


def test_a_row_that_fails_is_listed_and_the_exit_code_is_1(features: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[[rows]]\n[[rows]]\nname = 'disjoint'\ntext_disjoint = true\n")
    result = grid(features, tmp_path / "runs", str(file), *QUICK)
    assert result.exit_code == 1
    assert "failed: disjoint: " in result.stdout
    assert "2/2 disjoint: failed: " in result.stderr
    assert "late F+S+T" in result.stdout


def test_a_corpus_of_its_own_labels_keeps_them_unless_the_grid_says_otherwise(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mer.corpus import CORPORA

    monkeypatch.setattr(type(CORPORA["iemocap"]), "classes", "as-is")
    file = tmp_path / "own.toml"
    file.write_text("[[rows]]\n[[rows]]\nclasses = '4'\n")
    result = grid(features, tmp_path / "runs", str(file), *QUICK, "--json", "--quiet")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["summary"]["classes"] for row in rows] == [["ang", "hap", "neu", "sad"], ["angry", "happy", "sad", "neutral"]]


def test_a_run_that_fails_and_memory_that_runs_out_are_said_when_they_happen(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mer.heads import RunDone, StackHalved
    from mer.heads.training.planned_head import PlannedHead

    def train(head: Any, keys: Any, store: Any, progress: Any) -> None:
        progress(StackHalved(runs=7))
        reason = "fold 3, seed 1, epoch 2, step 4: the loss is nan"
        progress(RunDone(run=1, runs=5, over=1, fold="3", seed=1, best_epoch=None, ua=None, failure=reason))

    def finish(head: Any) -> None:
        raise HeadError("no run ended with a number")

    monkeypatch.setattr(PlannedHead, "train", train)
    monkeypatch.setattr(PlannedHead, "finish", finish)
    file = tmp_path / "own.toml"
    file.write_text("[[rows]]\n")
    result = grid(features, tmp_path / "runs", str(file))
    assert result.exit_code == 1
    assert "1/1 late F+S+T: memory ran out; 7 runs at once from now on\n" in result.stderr
    assert "1/1 late F+S+T: a run failed: fold 3, seed 1, epoch 2, step 4: the loss is nan\n" in result.stderr
    assert "1/1 late F+S+T: failed: no run ended with a number\n" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ([], ["which grid? Give one of sun2023-table1, sun2023-table2, zhao2022-table1, zhao2022-table2, zhao2022-table3, or a"]),
        (["zhao2022-table7"], ["there is no grid 'zhao2022-table7'", "zhao2022-table2", "TOML file of your own"]),
        (["zhao2022-table1", "--folds", "7"], ["no session 7 to test on, only 1, 2, 3"]),
        (
            ["zhao2022-table1", "--validation", "magic"],
            ["unknown validation 'magic': expected one of random, session, group, none"],
        ),
        (["zhao2022-table1", "--device", "abacus"], ["auto, cpu or cuda"]),
        (["zhao2022-table1", "--stack", "0"], ["--stack"]),
        (["zhao2022-table1", "--ram", "-1"], ["ram must be positive"]),
        (["zhao2022-table1", "--classes", "7"], ["unknown classes '7'"]),
    ],
)
def test_what_cannot_be_run_is_refused_with_exit_2(
    features: Path, tmp_path: Path, arguments: list[str], messages: list[str]
) -> None:
    result = grid(features, tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    told = " ".join(result.stderr.replace("│", "").split())
    for message in messages:
        assert message in told
    assert list(tmp_path.iterdir()) == []


def test_all_faults_of_a_file_are_printed_with_their_lines(features: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[[rows]]\nfusoin = 'late'\n[[rows]]\nhidden = 'x'\n")
    result = grid(features, tmp_path / "runs", str(file))
    assert result.exit_code == 2
    assert f"{file}:2: unknown option 'fusoin' (did you mean 'fusion'?)\n" in result.stderr
    assert f"{file}:4: hidden must be a whole number, got 'x'\n" in result.stderr


def test_granularities_that_the_cache_lacks_are_named_for_all_rows_before_training(tmp_path: Path) -> None:
    features = small_cache(tmp_path / "features", "FST")
    result = grid(features, tmp_path / "runs", "zhao2022-table3")
    assert result.exit_code == 2
    assert "`mer extract --granularity F+P+S+T` makes one that does" in result.stderr
    for name in ("concatenation F+P+T", "coattention F+P+T", "multi-level coattention F+P + late F+S"):
        assert f"  {name}: needs P\n" in result.stderr
    assert "late F+S+T" not in result.stderr
    assert not (tmp_path / "runs").exists()


def test_presets_are_listed_for_people_and_for_programs() -> None:
    shown = run(app, ["grid", "--list"])
    assert shown.exit_code == 0
    for name in ("zhao2022-table1", "zhao2022-table2", "zhao2022-table3"):
        assert name in shown.stdout
    found = json.loads(run(app, ["grid", "--list", "--json"]).stdout)["grids"]
    assert [(each["name"], len(each["rows"])) for each in found] == [
        ("zhao2022-table1", 10),
        ("zhao2022-table2", 16),
        ("zhao2022-table3", 4),
        ("sun2023-table1", 7),
        ("sun2023-table2", 3),
    ]


def test_presets_are_package_data() -> None:
    """What is not in this list is not in the wheel."""
    import tomllib

    root = Path(__file__).parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert "presets/*.toml" in project["tool"]["setuptools"]["package-data"]["mer.grids"]
    assert len(list((root / "grids" / "presets").glob("*"))) == len(list((root / "grids" / "presets").glob("*.toml"))) == 5


SMALL = """
[grid]
title = "Small"
[defaults]
seeds = 2
max_epochs = 3
hidden = 8
[[rows]]
granularity = "S"
[[rows]]
granularity = "W"
fusion = "coattention"
attention_layers = 1
"""


def started(features: Path, runs: Path, *options: str) -> "subprocess.Popen[str]":
    table = features.parent / "small.toml"
    table.write_text(SMALL)
    command = [sys.executable, "-m", "mer.cli", "grid", str(table), "--cache", str(features), "--runs", str(runs), *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(mer.__file__).parent / ".dev")}
    return start(command, environment)


def contents(runs: Path) -> dict[str, bytes]:
    """Every file that holds no times."""
    names = {"provenance.json", "result.json"}
    files = [file for file in sorted(runs.rglob("*")) if file.is_file() and file.name not in names]
    return {str(file.relative_to(runs)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def one_process(features: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    runs = tmp_path_factory.mktemp("one")
    command = started(features, runs, "--workers", "1")
    _, messages = command.communicate()
    assert command.returncode == 0, messages
    return contents(runs)


@pytest.mark.slow
def test_a_killed_worker_of_a_grid_costs_a_bundle_and_no_number(
    features: Path, one_process: dict[str, bytes], tmp_path: Path
) -> None:
    command = started(features, tmp_path, "--workers", "2")
    while not list(tmp_path.glob("*/running/*")):
        assert command.poll() is None, command.communicate()[1]
        time.sleep(0.01)
    workers = workers_of(command)
    assert workers
    workers[0].kill()
    _, messages = command.communicate()
    assert command.returncode == 0, messages
    assert "a worker was lost" in messages
    assert contents(tmp_path) == one_process


@pytest.mark.slow
def test_ranks_of_any_scheduler_end_with_the_table_of_one_process(
    features: Path, one_process: dict[str, bytes], tmp_path: Path
) -> None:
    ranks = [started(features, tmp_path, "--shard-rank", str(rank), "--shard-world", "2") for rank in range(2)]
    messages = [rank.communicate()[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], messages
    # A rank that ends before the other leaves rows open; whoever asks next finds them finished.
    last = started(features, tmp_path, "--workers", "1")
    last.communicate()
    assert last.returncode == 0
    assert contents(tmp_path) == one_process
