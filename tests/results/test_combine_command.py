"""`mer combine` from its command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.predict.errors import PredictError
from mer.predict.saved_run import read_saved
from mer.results.file_hashes import seal


def test_two_runs_become_a_row_of_the_report(
    make_result: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = [str(make_result(name, 1.5)) for name in ("a", "b")]
    words = ["combine", *parts, "--weights", "validation", "--name", "both", "--json"]
    made = CliRunner().invoke(app, words)
    assert made.exit_code == 0, made.output
    (result,) = json.loads(made.stdout)["results"]
    assert Path(result["directory"]).parent == Path("runs")
    again = CliRunner().invoke(app, words)
    assert "combined before in this way" in again.stderr
    shown = CliRunner().invoke(app, ["report", "runs", "--format", "markdown"]).stdout
    assert "| both |" in shown
    (start,) = json.loads((Path(result["directory"]) / "provenance.json").read_text())
    assert start["versions"]["numpy"]
    with pytest.raises(PredictError, match=r"a combination of finished runs has no weights of its own.*: \.\./a, \.\./b"):
        read_saved(Path(result["directory"]))


def test_runs_that_differ_are_exit_code_2(make_result: Callable[..., Path], tmp_path: Path) -> None:
    a, b = make_result("a"), make_result("b", keys=(("1", 0),))
    refused = CliRunner().invoke(app, ["combine", str(a), str(b), "--to", str(tmp_path / "runs")])
    assert refused.exit_code == 2
    assert "the folds differ" in refused.stderr


def test_ratings_are_not_combined(make_result: Callable[..., Path], tmp_path: Path) -> None:
    a, b = make_result("a"), make_result("b")
    document = json.loads((b / "result.json").read_text())
    document["config"]["predict"] = "valence"
    (b / "result.json").write_text(json.dumps(seal(document)))
    refused = CliRunner().invoke(app, ["combine", str(a), str(b), "--to", str(tmp_path / "runs")])
    assert refused.exit_code == 2
    assert "b: predicts ratings (valence), and probabilities are what is averaged" in refused.stderr
