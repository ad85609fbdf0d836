"""Folders that appear whole or not at all, and that go away the same."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mer.files.atomic_write import Disk, WriteError, sweep_temporaries, temporary_name
from mer.files.refusals import REFUSED, advice

HIDDEN = ".part-"
"""What the names of folders that are being written or removed begin with."""


@contextmanager
def whole_folder(folder: Path, *, replace: bool = False, alone: bool = False) -> Iterator[Path]:
    """Give a hidden folder to fill; when the block ends it is put on the device and takes its place by one rename.

    An error in the block removes it, and leaves what was at the place before; what a kill leaves is removed by the next one
    that is written beside it.

    Args:
        folder: the place; its parent exists.
        replace: whether something may be at the place; an empty folder always may.
        alone: whether nobody else writes beside the place, so that what killed processes left there can be removed, whichever
            machine they ran on.

    Raises:
        WriteError: the file system refuses to take what is written.
        OSError: any other error of the block's.
    """
    if alone:
        for left in folder.parent.glob(f"{HIDDEN}*"):
            shutil.rmtree(left, ignore_errors=True)
    sweep_temporaries(folder.absolute().parent, Disk())
    part = _hidden(folder)
    part.mkdir()
    try:
        yield part
        _put_on_device(part)
        if folder.exists():
            if replace:
                remove_folder(folder)
            else:
                folder.rmdir()
        part.rename(folder)
        Disk().fsync_folder(folder.parent)
    except OSError as problem:
        if problem.errno in (errno.ENOTEMPTY, errno.EEXIST) and folder.exists():
            raise WriteError(
                f"{folder}: another command has put something there meanwhile; what this one made is gone"
            ) from problem
        if isinstance(problem, WriteError) or problem.errno not in REFUSED:
            raise
        raise WriteError(
            f"{folder}: could not be written ({problem.strerror}); nothing half-written was left. {advice(problem)}, then give "
            "the same command again"
        ) from problem
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder, under another name first: a kill in the middle leaves nothing that looks like a whole one."""
    hidden = _hidden(folder)
    folder.rename(hidden)
    shutil.rmtree(hidden)


def _hidden(folder: Path) -> Path:
    place = folder.absolute()
    return place.with_name(temporary_name(f"{HIDDEN.removeprefix('.')}{place.name}"))


def make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in, as far as they are missing, and put their names on the device.

    A file that is on the device is lost with a folder whose name is not.

    Raises:
        OSError: the file system refuses.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        Disk().fsync_folder(each.parent)


def _put_on_device(folder: Path) -> None:
    """Wait until every file of a folder, and every name in it, is on the device."""
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            with (Path(place) / name).open("rb+") as file:
                os.fsync(file.fileno())
        Disk().fsync_folder(Path(place))
