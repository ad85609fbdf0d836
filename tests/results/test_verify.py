"""`mer verify`: a flipped bit in any file of a result or export is found and named, and what is whole is said to be."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.report import read_run
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, hashes_below, seal
from mer.results.finished_run import FinishedRun
from mer.results.run_directory import RunDirectory
from mer.results.run_files import EXPORT_FORMAT
from mer.results.whole import check_export, check_grid, check_run

ARCHIVE = Path(__file__).parent.parent / "data"


@dataclass(frozen=True)
class Epoch:
    loss: float
    validation_ua: float | None


RUN = FinishedRun(
    fold="1",
    seed=0,
    best_epoch=1,
    epochs=(Epoch(0.5, 50.0),),
    ids=("a", "b"),
    truth=(0, 1),
    logits=((2.0, 1.0), (0.5, 0.25)),
    layer_shares={},
    seconds=1.0,
)


def unfinished(folder: Path) -> Path:
    RunDirectory(folder, {"config": {"fusion": "late"}}, epoch=Epoch).commit(RUN, bytes(range(256)))
    return folder


def finished(folder: Path) -> Path:
    directory = RunDirectory(unfinished(folder), {"config": {"fusion": "late"}}, epoch=Epoch)
    summary = {"classes": ["angry", "sad"], "all": {"ua": {"mean_of_folds": 50.0}, "wa": {"mean_of_folds": 50.0}}}
    row = {"fold": "1", "seed": 0, "best_epoch": 1}
    result = {"format": 1, "corpus": "c", "config": {}, "branches": ["F"], "summary": summary, "runs": [row], "failed_runs": []}
    directory.finish([RUN], ["angry", "sad"], result)
    return folder


def exported(folder: Path) -> Path:
    (folder / "speech").mkdir(parents=True)
    for name in ("model.safetensors", "speech/tokenizer.json", "README.md"):
        (folder / name).write_bytes(bytes(range(64)))
    hashes = {name: digest for name, digest in hashes_below(folder, folder).items() if name != "README.md"}
    summary = {"all": {"ua": 50.0}}
    document = {"format": EXPORT_FORMAT, "kind": "head", "classes": ["a"], "runs": [["1", 0]], FILES: hashes}
    document["result"] = {"corpus": "c", "config": {}, "summary": summary}
    (folder / "config.json").write_text(json.dumps(seal(document)))
    return folder


MADE: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "result": (
        finished,
        (
            *("result.json", "config.json", "metrics.jsonl", "predictions.csv", "logits.safetensors"),
            "weights/fold1-seed0.safetensors",
        ),
    ),
    "unfinished result": (unfinished, ("finished/fold1-seed0.json", "weights/fold1-seed0.safetensors")),
    "export": (exported, ("config.json", "model.safetensors", "speech/tokenizer.json")),
}
FILE_OF_KIND = [(kind, name) for kind, (_, names) in MADE.items() for name in names]


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    file.write_bytes(content)


@pytest.mark.parametrize("kind", MADE)
def test_every_file_of_a_place_is_compared(kind: str, tmp_path: Path) -> None:
    make, names = MADE[kind]
    folder = make(tmp_path / "place")
    found = (check_export if kind == "export" else check_run)(folder)
    assert (found.kind, found.problems, found.unchecked) == (kind, (), ())
    compared = [name for name in names if not name.startswith("finished/")]
    assert (found.files, found.bytes) == (len(compared), sum((folder / name).stat().st_size for name in compared))


@pytest.mark.parametrize(("kind", "name"), FILE_OF_KIND)
def test_a_flipped_bit_anywhere_is_named(kind: str, name: str, tmp_path: Path) -> None:
    for number, bit in enumerate((3, 77, 8 * 41 + 5)):
        folder = MADE[kind][0](tmp_path / str(number))
        flip(folder / name, bit)
        (problem,) = (check_export if kind == "export" else check_run)(folder).problems
        assert name in problem, problem


@pytest.mark.parametrize(("kind", "name"), FILE_OF_KIND)
def test_a_missing_file_is_named(kind: str, name: str, tmp_path: Path) -> None:
    if name in ("result.json", "finished/fold1-seed0.json") or (kind, name) == ("export", "config.json"):
        pytest.skip("nothing says that it was there")
    folder = MADE[kind][0](tmp_path / "place")
    (folder / name).unlink()
    (problem,) = (check_export if kind == "export" else check_run)(folder).problems
    assert name in problem, problem


def test_what_people_write_into_a_model_card_is_no_damage(tmp_path: Path) -> None:
    folder = exported(tmp_path / "place")
    (folder / "README.md").write_text("Licence: ours")
    assert check_export(folder).problems == ()


def test_a_damaged_grid_is_named(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text("{")
    (problem,) = check_grid(tmp_path).problems
    assert "grid.json" in problem
    (tmp_path / "grid.json").write_text(json.dumps(seal({"rows": [{"name": "a", "published_ua": 71.5}]})))
    assert (check_grid(tmp_path).problems, check_grid(tmp_path).files, check_grid(tmp_path).unchecked) == ((), 1, ())
    (tmp_path / "grid.json").write_text((tmp_path / "grid.json").read_text().replace("71.5", "71.7"))
    (problem,) = check_grid(tmp_path).problems
    assert "its own sha256 differs" in problem


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.jsonl", "config.json"])
def test_a_report_of_a_file_that_is_not_what_was_written_is_refused(name: str, tmp_path: Path) -> None:
    folder = finished(tmp_path / "small-late-F-00000000")
    assert read_run(folder).corpus == "c"
    text = (folder / name).read_text()
    (folder / name).write_text(
        text.replace("50.0", "90.0") if "50.0" in text else text.replace("late", "lat3").replace("angry", "anxry")
    )
    with pytest.raises(ResultError, match=rf"{name}: damaged or not its own"):
        read_run(folder)


def test_the_command_reads_folders_of_everything_and_exits_with_1_where_something_is_damaged(tmp_path: Path) -> None:
    shutil.copytree(ARCHIVE / "cache-v1", tmp_path / "features", ignore=shutil.ignore_patterns("*.py"))
    for make, name in ((finished, "runs/done"), (unfinished, "runs/going"), (exported, "exported")):
        make(tmp_path / name)
    whole = CliRunner().invoke(app, ["verify", str(tmp_path / "features"), str(tmp_path / "runs"), str(tmp_path), "--json"])
    assert whole.exit_code == 0, whole.output
    kinds = [each["kind"] for each in json.loads(whole.stdout)["checked"]]
    assert sorted(kinds) == ["cache", "export", "result", "unfinished result"]

    flip(next(tmp_path.rglob("*.h5")), 8000)
    flip(tmp_path / "exported" / "model.safetensors", 8)
    damaged = CliRunner().invoke(app, ["verify", str(tmp_path), str(tmp_path / "features")])
    assert damaged.exit_code == 1
    assert damaged.stdout.count("1 problem") == 2
    assert "export it again" in damaged.stdout

    nothing = CliRunner().invoke(app, ["verify", str(tmp_path / "exported" / "speech")])
    assert nothing.exit_code == 2
    assert "no feature cache, run directory, grid or export here" in nothing.stderr
