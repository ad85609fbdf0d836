"""Reading what is a file and no more than it should be: pipes and devices never end, and opening them may wait for ever."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
LARGEST = 1 << 30
"""Bytes that a file may have which is read at once: a gigabyte of JSON or text is none of ours."""


class NoRegularFileError(OSError):
    """What is at a path is no file, or one that is far larger than such files are; `strerror` says which."""


def open_file(path: Path, at_most: int | None = None) -> BufferedReader:
    """Open a file for reading its bytes, without waiting for whatever else may be there.

    Args:
        path: of the file.
        at_most: bytes that it may have; None = any number.

    Raises:
        NoRegularFileError: a pipe, socket, device or folder, or a larger file.
        OSError: it is not there or cannot be opened.
    """
    # Looked at first: to open a device may already do something.
    _check(path, path.stat(), at_most)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check(path, os.fstat(descriptor), at_most)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: Path, at_most: int = LARGEST) -> bytes:
    """All bytes of a file.

    Raises:
        NoRegularFileError: as `open_file`.
        OSError: it is not there or cannot be read.
    """
    with open_file(path, at_most) as file:
        return file.read()


def read_text_file(path: Path, encoding: str = "utf-8", at_most: int = LARGEST) -> str:
    """A whole file as text, with its line ends as they are.

    Raises:
        NoRegularFileError: as `open_file`.
        OSError: it is not there or cannot be read.
        UnicodeDecodeError: it has another encoding.
    """
    return read_file(path, at_most).decode(encoding)


def _check(path: Path, found: os.stat_result, at_most: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise NoRegularFileError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    if at_most is not None and found.st_size > at_most:
        size = f"it has {found.st_size:,} bytes, more than the {at_most:,} that such a file may have"
        raise NoRegularFileError(errno.EFBIG, size, str(path))
