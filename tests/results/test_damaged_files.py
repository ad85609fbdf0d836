"""A damaged or foreign file of a run directory is one error that names it, or is looked past; never a traceback."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mer.results
from mer.predict.saved_run import read_saved
from mer.report import ReportError, find_runs
from mer.results.errors import ResultError
from mer.results.row_names import name_beside
from mer.results.shape import misfit
from mer.status import StatusReader

ARCHIVE = Path(__file__).parent.parent / "data" / "results-v1"
LATE = json.loads((ARCHIVE / "expected.json").read_text())["directories"]["late"]


def directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def every_value(junk: Any) -> Callable[[Path], None]:
    """Each value of the outermost object is something else."""

    def harm(file: Path) -> None:
        values = json.loads(file.read_text())
        file.write_text(json.dumps(dict.fromkeys(values, junk) if isinstance(values, dict) else [junk]))

    return harm


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "binary": lambda file: file.write_bytes(bytes(range(256)) * 8),
    "deep": lambda file: file.write_text("[" * 100_000),
    "list": lambda file: file.write_text("[1, 2]"),
    "number": lambda file: file.write_text("7"),
    "no keys": lambda file: file.write_text("{}"),
    "texts": every_value("x"),
    "numbers": every_value(3),
    "nulls": every_value(None),
    "lists": every_value([1]),
    "objects": every_value({"a": 1}),
    "directory": directory,
}


def places(root: Path) -> Path:
    """The archived runs beside a grid that names one of them."""
    runs = Path(shutil.copytree(ARCHIVE / "runs", root / "runs"))
    (runs / "grid").mkdir()
    grid = {"grid": {"name": "g"}, "corpus": "c", "rows": [{"name": "a", "directory": LATE, "status": "done"}]}
    (runs / "grid" / "grid.json").write_text(json.dumps(grid))
    return runs


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["result.json", "config.json", "provenance.json", "predictions.csv", "grid.json"])
def test_readers_name_the_file_or_look_past_it(name: str, damage: str, tmp_path: Path) -> None:
    runs = places(tmp_path)
    run = runs / LATE
    file = (runs / "grid" if name == "grid.json" else run) / name
    if name == "predictions.csv" and damage in ("texts", "numbers", "nulls", "lists", "objects"):
        pytest.skip("no JSON file")
    DAMAGES[damage](file)
    reports: list[Callable[[], object]] = [lambda: find_runs((runs,)), lambda: find_runs((run,)), lambda: read_saved(run)]
    told = []
    for read in reports:
        try:
            read()
        except (ResultError, ReportError) as problem:
            told.append(str(problem))
    assert [each for each in told if name not in each] == []
    if name == "result.json":
        assert len(told) == 3
    StatusReader(places=(runs,), caches=tmp_path, required=True).read(0.0)
    name_beside(run)


def test_a_misfit_is_named_by_its_place() -> None:
    shape = {"runs": [{"seed": int}], "note?": str, "share": float}
    assert misfit({"runs": [{"seed": 1}], "share": 1, "more": None}, shape) is None
    assert misfit({"runs": [{"seed": 1}, {"seed": "x"}], "share": 0.5}, shape) == "runs[1].seed: expected a whole number, got 'x'"
    assert misfit({"runs": [{"seed": True}], "share": 0.5}, shape) == "runs[0].seed: expected a whole number, got True"
    assert misfit({"runs": {}, "share": 0.5}, shape) == "runs: expected a list, got {}"
    assert misfit({"runs": [], "note": 1, "share": 0.5}, shape) == "note: expected a text, got 1"
    assert misfit({"runs": []}, shape) == "share: is missing"
    assert misfit(None, shape) == "expected an object, got None"


def test_the_room_loads_no_torch() -> None:
    modules = [f"mer.results.{file.stem}" for file in Path(mer.results.__file__).parent.glob("[a-z]*.py")]
    program = f"import importlib, sys; [importlib.import_module(name) for name in {modules}]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_result_without_scores_is_damaged(tmp_path: Path) -> None:
    run = places(tmp_path) / LATE
    values = json.loads((run / "result.json").read_text())
    values["summary"]["all"] = {"utterances": 3, "ua": values["summary"]["all"]["ua"]}
    (run / "result.json").write_text(json.dumps(values))
    with pytest.raises(ResultError, match="neither ua and wa nor ccc"):
        read_saved(run)
