"""Folders that appear whole or not at all, and that go away the same."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from mer.files.atomic_write import Disk

HIDDEN = ".part-"
"""What the names of folders that are being written or removed begin with."""


@contextmanager
def whole_folder(folder: Path, *, replace: bool = False, alone: bool = False) -> Iterator[Path]:
    """Give a hidden folder to fill; when the block ends it is put on the device and takes its place by one rename.

    An error in the block removes it, and leaves what was at the place before.

    Args:
        folder: the place; its parent exists.
        replace: whether something may be at the place; an empty folder always may.
        alone: whether nobody else writes beside the place, so that what killed processes left there can be removed.

    Raises:
        OSError: the file system refuses.
    """
    if alone:
        for left in folder.parent.glob(f"{HIDDEN}*"):
            shutil.rmtree(left, ignore_errors=True)
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
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder, under another name first: a kill in the middle leaves nothing that looks like a whole one."""
    hidden = _hidden(folder)
    folder.rename(hidden)
    shutil.rmtree(hidden)


def _hidden(folder: Path) -> Path:
    return folder.absolute().with_name(f"{HIDDEN}{uuid4().hex}")


def _put_on_device(folder: Path) -> None:
    """Wait until every file of a folder, and every name in it, is on the device."""
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            with (Path(place) / name).open("rb+") as file:
                os.fsync(file.fileno())
        Disk().fsync_folder(Path(place))
