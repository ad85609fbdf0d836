"""Hashes of what a later number depends on, kept in the file that is written last, and compared before anything is read.

A flipped bit in a weights file gives a confident answer of another class, and nothing else would notice.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mer.files import file_sha256
from mer.results.errors import ResultError

FILES, SEAL = "files_sha256", "self_sha256"
"""Keys of a document: hashes of other files, by their path from its folder, and the hash of the document's other values."""

SETTLED = 2.0
"""Seconds after which a file's time of change tells that it is the same."""
_known: dict[tuple[str, int, int, int], str] = {}
"""Path, size, time of change and inode of files whose hash this process knows; a run is looked at many times."""


def sha256_of(file: Path) -> str:
    """Hash of a file's bytes, read as a stream; once per process while the file stays as it is."""
    seen = file.stat()
    key = (str(file.absolute()), seen.st_size, seen.st_mtime_ns, seen.st_ino)
    if key in _known:
        return _known[key]
    found = file_sha256(file)
    # A second change within one tick of the file system's clock would look like none.
    if time.time() - seen.st_mtime > SETTLED:
        _known[key] = found
    return found


def hashes_below(place: Path, root: Path) -> dict[str, str]:
    """Hash of a file, or of every file in a folder, by its path from `root`; empty where nothing is."""
    files = [place] if place.is_file() else sorted(each for each in place.rglob("*") if each.is_file())
    return {each.relative_to(root).as_posix(): sha256_of(each) for each in files}


def is_whole(root: Path, hashes: Mapping[str, str]) -> bool:
    """Whether all files below `root` are there and as they were written."""
    return all((root / name).is_file() and sha256_of(root / name) == digest for name, digest in hashes.items())


def check_files(root: Path, hashes: Mapping[str, str], names: Iterable[str], cure: str) -> list[str]:
    """Compare files with what was written of them.

    Args:
        root: folder that the names are relative to.
        hashes: name to SHA-256.
        names: files to compare.
        cure: what helps when one is damaged.

    Returns:
        Those of the names that have no hash, because they were made before there were any.

    Raises:
        ResultError: a file that is missing, or is not what was written.
    """
    unchecked = []
    for name in names:
        file = root / name
        if name not in hashes:
            unchecked.append(name)
        elif not file.is_file():
            raise ResultError(f"{file}: not there; {cure}")
        elif (found := sha256_of(file)) != hashes[name]:
            raise ResultError(f"{file}: damaged or not its own: expected sha256 {hashes[name][:12]}, found {found[:12]}; {cure}")
    return unchecked


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a hash of all that it says."""
    return {**document, SEAL: _digest(document)}


def is_sealed_wrongly(document: Mapping[str, Any]) -> bool:
    """Whether a document has a hash of itself, and says something else now; one without a hash is from before there were any."""
    return SEAL in document and document[SEAL] != _digest(document)


def _digest(document: Mapping[str, Any]) -> str:
    values = {name: value for name, value in document.items() if name != SEAL}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
