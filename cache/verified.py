"""Which shards have been hashed already, so that a command starts at once."""

import contextlib
import json
import os
import time
from pathlib import Path

from mer.cache.cache_error import CacheError
from mer.cache.sidecar import Sidecar
from mer.files import Disk, WriteError, file_sha256, write_atomically
from mer.files.refusals import cure
from mer.files.regular_file import read_text_file

_SETTLED_NS = 2_000_000_000


class VerifiedShards:
    """`verified.json`: size, times and inode of every shard file when its digest was last found right.

    Only a shortcut: it is rewritten by readers, may be deleted at any time, and is not part of the cache.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, object]] = self._read()
        self._unsaved = 0

    def check(self, path: Path | str, sidecar: Sidecar) -> None:
        """Make sure that a shard file is the one that was committed.

        Raises:
            CacheError: if it is missing, of another size, or any byte of it differs.
        """
        path = Path(path)
        redo = "`mer extract` with the options of this cache makes it anew"
        try:
            status = path.stat()
            if status.st_size != sidecar.bytes:
                raise CacheError(
                    f"{path}: {status.st_size:,} bytes, expected {sidecar.bytes:,}: the shard is "
                    "truncated or "
                    f"not the one that was committed; {redo}"
                )
            entry = _entry(status, sidecar)
            if self._known.get(sidecar.shard) == entry:
                return
            found = file_sha256(path)
        except FileNotFoundError:
            raise CacheError(f"{path}: this shard is missing though it was committed; {redo}") from None
        except OSError as error:
            raise CacheError(f"{path}: cannot be read ({error.strerror}); {cure(error, redo)}") from error
        if found != sidecar.sha256:
            raise CacheError(
                f"{path}: the content was altered since it was committed (sha256 {found[:12]}, expected "
                f"{sidecar.sha256[:12]}); {redo}; `mer cache verify --full` checks the other shards"
            )
        # A file that changed a moment ago could change again within the clock tick of its time stamp.
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
            self._known[sidecar.shard] = entry
            self._unsaved += 1
            if self._unsaved * 8 > len(self._known):
                self.save()

    def save(self) -> None:
        """Write what was learnt; a folder that cannot be written is no problem."""
        if not self._unsaved:
            return
        text = json.dumps({"shards": self._known}, indent=1, sort_keys=True) + "\n"
        with contextlib.suppress(WriteError):
            write_atomically(
                self._folder / "verified.json",
                [memoryview(text.encode("ascii"))],
                temporaries=self._folder / "tmp",
                disk=Disk(),
            )
            self._unsaved = 0

    def _read(self) -> dict[str, dict[str, object]]:
        try:
            shards = json.loads(read_text_file(self._folder / "verified.json"))["shards"]
            return {str(name): dict(entry) for name, entry in shards.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}  # everything is hashed again


def _entry(status: os.stat_result, sidecar: Sidecar) -> dict[str, object]:
    return {
        "sha256": sidecar.sha256,
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }
