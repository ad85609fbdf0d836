"""Results that were made before weights were hashed: read, reported and predicted with, and a cache of the same key."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mer.cache import open_cache
from mer.cli import app
from mer.corpus import open_corpus
from mer.extract import ExtractConfig, Resources, extract
from mer.predict import Prediction, load

DATA = Path(__file__).parent / "data"
ARCHIVE = DATA / "results-v1"
EXPECTED: dict[str, Any] = json.loads((ARCHIVE / "expected.json").read_text())
ENCODERS = {"speech_model": str(ARCHIVE / "exported" / "speech"), "text_model": str(ARCHIVE / "exported" / "text")}
run = CliRunner().invoke


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: commands may leave files beside what they read."""
    return Path(shutil.copytree(ARCHIVE, tmp_path_factory.mktemp("archive") / "results"))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of the archive, made again."""
    spec = importlib.util.spec_from_file_location("make_results_v1", DATA / "make_results_v1.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Path = module.write_corpus(tmp_path_factory.mktemp("archived") / "corpus")
    return made


def folder_of(archive: Path, name: str) -> Path:
    return archive / "exported" if name == "exported" else archive / "runs" / EXPECTED["directories"][name]


@pytest.mark.parametrize("name", ["late", "coattention", "multi-level", "finetuned", "exported"])
def test_an_archived_result_answers_as_it_did(name: str, archive: Path, manifest: Path) -> None:
    encoders: dict[str, Any] = {} if name in ("finetuned", "exported") else ENCODERS
    predictor = load(folder_of(archive, name), device="cpu", **encoders)
    expected = EXPECTED["answers"][name]
    for each in predictor.predict_many([each for each in open_corpus(manifest) if each.id in expected]):
        assert isinstance(each, Prediction)
        assert each.label == expected[each.id]["label"]
        assert each.logits.keys() == expected[each.id]["logits"].keys()
        for key, logits in each.logits.items():
            np.testing.assert_allclose(logits, expected[each.id]["logits"][key], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_archived_results_make_a_page(archive: Path, tmp_path: Path) -> None:
    told = run(app, ["report", str(archive / "runs"), "--to", str(tmp_path / "out")])
    assert told.exit_code == 0, told.output
    assert {"index.html", "table.md", "table.tex", "table.csv"} <= {each.name for each in (tmp_path / "out").iterdir()}


def test_archived_results_are_reported_with_the_scores_they_had(archive: Path) -> None:
    told = run(app, ["report", str(archive / "runs"), "--json"])
    assert told.exit_code == 0, told.output
    (table,) = json.loads(told.stdout)["tables"]
    directories = {row["name"]: Path(row["directory"]).name for row in table["runs"]}
    assert set(directories.values()) == set(EXPECTED["directories"].values())
    found = json.dumps(table)
    for summary in EXPECTED["summaries"].values():
        assert str(summary["all"]["ua"]["mean_of_folds"]) in found
    for name, summary in EXPECTED["summaries"].items():
        assert json.loads((folder_of(archive, name) / "result.json").read_text())["summary"] == summary


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "csv"])
def test_every_format_of_a_report_shows_archived_scores(form: str, archive: Path) -> None:
    told = run(app, ["report", str(archive / "runs"), str(archive / "unfinished"), "--format", form], env={"COLUMNS": "250"})
    assert told.exit_code == 0, told.output
    for summary in EXPECTED["summaries"].values():
        ua = 100 * summary["all"]["ua"]["mean_of_folds"]
        assert (f"{ua:.8g}" if form == "csv" else f"{ua:.2f}") in told.stdout
    assert "unfinished" in told.stdout or "not finished" in told.stdout


def test_an_archived_grid_names_its_rows_and_its_figures(archive: Path) -> None:
    (grid,) = (archive / "grid").glob("*two-rows*")
    told = run(app, ["report", str(grid), "--json"])
    assert told.exit_code == 0, told.output
    (table,) = json.loads(told.stdout)["tables"]
    assert {row["name"] for row in table["runs"]} == {"late", "text"}


def test_the_status_of_archived_results_is_known(archive: Path) -> None:
    told = run(app, ["status", *(str(archive / name) for name in ("features", "runs", "grid", "unfinished")), "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    runs = {Path(each["directory"]).name: each for each in found["runs"]}
    for name in EXPECTED["directories"].values():
        assert runs[name]["state"] == "done"
    (left,) = [each for each in found["runs"] if "unfinished" in str(each["directory"])]
    assert left["state"] != "done"
    assert left["finished"] == 1


def test_the_same_extraction_has_the_archived_key_and_numbers(archive: Path, manifest: Path, tmp_path: Path) -> None:
    (before,) = (archive / "features" / "corpus").iterdir()
    kept = open_cache(before)
    assert kept.key == EXPECTED["cache_key"]
    for name in ("tiny-wav2vec2", "tiny-bert"):  # a folder's name is part of the identity
        shutil.copytree(ARCHIVE / "exported" / ("speech" if "wav" in name else "text"), tmp_path / name)
    config = ExtractConfig(speech_model=str(tmp_path / "tiny-wav2vec2"), text_model=str(tmp_path / "tiny-bert"))
    made = open_cache(
        extract(open_corpus(manifest), config, tmp_path / "features", resources=Resources(device="cpu", workers=1)).folder
    )
    assert made.key == EXPECTED["cache_key"]
    for name in "FPSWT":
        for row in range(9):
            one, other = (each.read(f"u{row}", name) for each in (made, kept))
            np.testing.assert_allclose(one.astype(np.float32), other.astype(np.float32), rtol=2e-3, atol=2e-3)
