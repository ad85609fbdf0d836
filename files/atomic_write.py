"""Files that appear whole or not at all."""

import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from mer.files.processes import host, is_running, this_process
from mer.files.refusals import advice

_STALE_SECONDS = 24 * 3600
_BLOCK = 8 << 20
_LARGE = 1 << 20
_TEMPORARY = re.compile(r"\..*~([^~]+)~([0-9]+)~[0-9a-f]{12}", re.DOTALL)
"""Names as `temporary_name` gives them: host and process."""
_swept: set[Path] = set()
"""Folders in which this process has removed already what ended ones left."""


class WriteError(OSError):
    """The file system refused (full, read-only, quota); nothing half-written was left, and the text says what to do."""


class Disk:
    """Every change that a cache makes to a file system goes through one of these.

    A test puts a disk in its place that stops or fails at a chosen call.
    """

    def open_new(self, path: Path) -> int:
        """Create a file that must not exist yet, for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)

    def write(self, descriptor: int, block: memoryview) -> int:
        """Write the start of a block; the number of bytes that were taken."""
        return os.write(descriptor, block)

    def fsync(self, descriptor: int) -> None:
        """Wait until the content is on the device."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a file."""
        os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Rename, over an older file if there is one."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, which must not exist yet."""
        target.hardlink_to(source)

    def unlink(self, path: Path) -> None:
        """Remove a file if it is there."""
        path.unlink(missing_ok=True)

    def fsync_folder(self, folder: Path) -> None:
        """Wait until renames and removals in a folder are on the device."""
        if os.name == "nt":  # folders cannot be opened there
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(
    path: Path, blocks: Iterable[memoryview], *, temporaries: Path, disk: Disk, exclusive: bool = False
) -> tuple[int, str]:
    """Put content at a path so that every reader sees all of it or none, even after a power cut.

    Args:
        path: final name.
        blocks: content in order.
        temporaries: folder on the same file system for the unfinished file.
        disk: what to write with.
        exclusive: refuse to replace an existing file.

    Returns:
        Size and hex sha256 of what was written.

    Raises:
        FileExistsError: if `exclusive` and the file exists.
        WriteError: if the file system refuses (full, read-only, quota); the unfinished file is removed.
    """
    temporary = temporaries / temporary_name(path.name)
    try:
        descriptor = disk.open_new(temporary)
        try:
            size, sha256 = _hash_and_write(descriptor, blocks, disk)
            disk.fsync(descriptor)
        finally:
            disk.close(descriptor)
        if exclusive:
            _link_or_replace(temporary, path, disk)
        else:
            _replace(temporary, path, size, sha256, disk)
        disk.fsync_folder(path.parent)
    except FileExistsError:
        _discard(temporary, disk)
        raise
    except OSError as error:
        _discard(temporary, disk)
        raise WriteError(
            f"{path}: could not be written ({error.strerror or error}); nothing half-written was left. {advice(error)}, then "
            "repeat the command: it continues where it stopped"
        ) from error
    except BaseException:  # Ctrl-C, too, should not leave a quarter of a gigabyte behind
        _discard(temporary, disk)
        raise
    return size, sha256


def write_file(path: Path, content: bytes) -> None:
    """Put content at a path, whole or not at all, and on the device before returning; the unfinished file is hidden beside it.

    What killed processes left in the folder is removed the first time that this process writes there.

    Raises:
        WriteError: if the file system refuses.
    """
    if path.parent not in _swept:
        _swept.add(path.parent)
        sweep_temporaries(path.parent, Disk())
    write_atomically(path, [memoryview(content)], temporaries=path.parent, disk=Disk())


def append_line(file: Path, line: str) -> None:
    """Add a line to a file that grows while work goes on; a kill may cut the last line short.

    Raises:
        WriteError: if the file system refuses.
    """
    try:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(line)
    except OSError as error:
        raise WriteError(
            f"{file}: could not be written ({error.strerror or error}). {advice(error)}, then repeat the command: it continues "
            "where it stopped"
        ) from error


def check_space(folder: Path, size: int, disk: Disk) -> None:
    """Write so many bytes and remove them again: full disks, quotas and read-only mounts show in nothing else alike.

    Args:
        folder: for temporaries.
        size: bytes.
        disk: what to write with.

    Raises:
        WriteError: if the file system refuses.
    """
    temporary = folder / temporary_name("space")
    try:
        descriptor = disk.open_new(temporary)
        try:
            for start in range(0, size, _BLOCK):
                _write_all(descriptor, memoryview(bytes(min(_BLOCK, size - start))), disk)
            disk.fsync(descriptor)
        finally:
            disk.close(descriptor)
    except OSError as error:
        raise WriteError(f"{folder}: the file system still takes no {size / 1e6:.0f} MB ({error.strerror or error})") from error
    finally:
        _discard(temporary, disk)


def sweep_temporaries(folder: Path, disk: Disk) -> int:
    """Remove unfinished files and folders that no running process will finish.

    One goes when it is older than 24 hours, or when the process that began it on this host has ended.

    Returns:
        How many were removed.
    """
    removed = 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        found = _TEMPORARY.fullmatch(path.name)
        if found is None:
            continue
        try:
            stale = time.time() - path.stat().st_mtime > _STALE_SECONDS
            if stale or (found[1] == host() and not is_running(int(found[2]))):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    disk.unlink(path)
                removed += 1
        except OSError:
            continue  # somebody else swept it, or may not: it is in nobody's way
    return removed


def temporary_name(name: str) -> str:
    """A hidden name for what is not finished, by which `sweep_temporaries` knows whose it is."""
    # Cut where an utterance's id would make it too long for a file system.
    return f".{name[:140]}~{this_process()}~{uuid.uuid4().hex[:12]}"


def _hash_and_write(descriptor: int, blocks: Iterable[memoryview], disk: Disk) -> tuple[int, str]:
    """Write blocks, and hash the large ones meanwhile in a thread: each of the two takes about half a second a gigabyte."""
    digest, size = hashlib.sha256(), 0
    with ExitStack() as stack:
        hasher: ThreadPoolExecutor | None = None
        for block in blocks:
            size += len(block)
            if len(block) < _LARGE:
                digest.update(block)
                _write_all(descriptor, block, disk)
                continue
            hasher = hasher or stack.enter_context(ThreadPoolExecutor(1, "hash"))
            hashed = hasher.submit(digest.update, block)
            _write_all(descriptor, block, disk)
            hashed.result()
    return size, digest.hexdigest()


def _write_all(descriptor: int, block: memoryview, disk: Disk) -> None:
    rest = block.cast("B")
    while len(rest):
        taken = disk.write(descriptor, rest[:_BLOCK])
        if taken <= 0:
            raise OSError(errno.EIO, "the file system took no bytes")
        rest = rest[taken:]


def _replace(temporary: Path, path: Path, size: int, sha256: str, disk: Disk) -> None:
    """Rename; an error is none when what should be at the path is there.

    NFS may have renamed before its answer was lost; Windows refuses while another writer of the same shard is at it.
    """
    try:
        disk.replace(temporary, path)
    except OSError:
        if not _holds(path, size, sha256):
            raise
        _discard(temporary, disk)


def _holds(path: Path, size: int, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == size and hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _link_or_replace(temporary: Path, path: Path, disk: Disk) -> None:
    try:
        disk.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (exFAT, some network shares): the check below leaves a short race, which only
        # two runs with different specs and the same 48-bit key could lose.
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        disk.replace(temporary, path)
    else:
        disk.unlink(temporary)


def _discard(temporary: Path, disk: Disk) -> None:
    try:
        disk.unlink(temporary)
    except OSError:
        pass  # the first error is the one to report; sweeping finds the file later
