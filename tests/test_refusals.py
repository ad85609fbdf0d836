"""What the operating system refuses is told with the path and what helps, and a finished result is shown all the same."""

import errno
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer

from mer.commands.console import clear_errors
from mer.files import WriteError, make_folder, whole_folder, write_file
from mer.results import run_directory
from mer.results.run_directory import RunDirectory
from mer.tests.results.test_verify import Epoch, finished


def refusing(number: int) -> Any:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_full_disk_is_told_with_the_path_and_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", refusing(errno.ENOSPC))
    said = r"answers\.csv: could not be written \(No space left on device\); nothing half-written was left\. Free space"
    with pytest.raises(WriteError, match=said):
        write_file(tmp_path / "answers.csv", b"x")
    with (
        pytest.raises(WriteError, match=r"exported: could not be written \(No space left.*Free space"),
        whole_folder(tmp_path / "exported"),
    ):
        refusing(errno.ENOSPC)()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a"),
            "error: runs/a: No space left on device. Free space",
        ),
        (OSError(errno.EMFILE, "Too many open files", "a.wav"), "error: a.wav: Too many open files. Raise the number of files"),
        (OSError(errno.ENOENT, "No such file or directory", "a"), "error: [Errno 2] No such file or directory: 'a'"),
        (WriteError("a: full; free some"), "error: a: full; free some"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_errors_of_the_system_say_what_helps(problem: OSError, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), clear_errors():
        raise problem
    assert capsys.readouterr().err.startswith(said)


def test_a_finished_result_is_shown_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = finished(tmp_path / "run")
    (folder / ".lock").mkdir()  # opening it for writing fails as on a disk that can only be read
    for name in ("make_folder", "sweep_temporaries", "write_file"):
        monkeypatch.setattr(run_directory, name, refusing(errno.EROFS))
    directory = RunDirectory(folder, {"config": {"fusion": "late"}}, epoch=Epoch)
    with directory.locked():
        found = directory.result()
    assert found is not None
    assert found["corpus"] == "c"
    with pytest.raises(OSError, match="Read-only"):
        RunDirectory(tmp_path / "other", {}, epoch=Epoch)


def test_names_of_new_folders_are_put_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("mer.files.folders.Disk.fsync_folder", lambda _, folder: synced.append(folder))
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path / "a", tmp_path]


def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path: Path) -> None:
    from mer.files.atomic_write import temporary_name

    ended = temporary_name("part-exported").replace(f"~{os.getpid()}~", "~999999999~")
    running = temporary_name("part-other")
    for name in (ended, running):
        (tmp_path / name / "speech").mkdir(parents=True)
    with whole_folder(tmp_path / "exported"):
        pass
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([running, "exported"])


def test_what_somebody_puts_in_the_place_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "spoken"
    put = partial(shutil.copytree, Path(__file__).parent / "data" / "cache-v1", place)
    with pytest.raises(WriteError, match="another command has put something there"), whole_folder(place):
        put()
    assert [each.name for each in tmp_path.iterdir()] == ["spoken"]
    assert list(place.rglob("*.h5"))
