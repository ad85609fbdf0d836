"""One file per planned shard, `plan/<shard>.json`: the first writer decides what is in it."""

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.cache.cache_error import CacheError, refusals_named
from mer.cache.folder import CacheFolder
from mer.cache.sidecar import SELF, SHARD_NAME, self_digest
from mer.cache.spec import FORMAT_VERSION
from mer.files import make_folder, write_atomically
from mer.files.regular_file import read_text_file

FOLDER = "plan"
KEYS = {"format_version", "bytes", "ids", SELF}
READERS = 8
"""Threads: on a network the time goes in waiting for one small file after the other."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlanFile:
    """What a shard is to hold."""

    shard: str
    """Its name."""
    packed: NDArray[Any]
    """The ids in UTF-8, in the order of extraction; no id holds NUL."""
    bytes: int
    """Expected size."""

    @property
    def ids(self) -> list[str]:
        """The same as texts."""
        return unpacked(self.packed)

    def write(self, folder: CacheFolder, *, exclusive: bool) -> None:
        """Put it into the cache's folder.

        Raises:
            FileExistsError: if `exclusive`, and another command was first.
            CacheError: if the file system refuses.
        """
        place = folder.path / FOLDER
        try:
            make_folder(place)
        except OSError as error:
            raise CacheError(f"{place}: cannot make this folder ({error.strerror}); give another with `--cache`") from error
        document: dict[str, Any] = {"format_version": FORMAT_VERSION, "bytes": self.bytes, "ids": self.ids}
        document[SELF] = self_digest(document)
        text = json.dumps(document, indent=0, sort_keys=True) + "\n"
        content = [memoryview(text.encode("ascii"))]
        path = place / f"{self.shard}.json"
        with refusals_named():
            write_atomically(path, content, temporaries=folder.path / "tmp", disk=folder.disk, exclusive=exclusive)


def packed(ids: Iterable[str]) -> NDArray[Any]:
    """Ids as an array of texts in UTF-8: a third of the memory."""
    return np.array([each.encode() for each in ids], dtype=np.bytes_)


def unpacked(ids: NDArray[Any]) -> list[str]:
    """Ids of such an array."""
    return [each.decode() for each in ids.tolist()]


def planned_names(folder: CacheFolder) -> list[str]:
    """Names of the shards with a plan file, sorted."""
    try:
        names = [entry.name.removesuffix(".json") for entry in os.scandir(folder.path / FOLDER) if entry.name.endswith(".json")]
    except FileNotFoundError:
        return []
    return sorted(name for name in names if SHARD_NAME.fullmatch(name))


def read_plan_file(folder: CacheFolder, name: str) -> PlanFile | None:
    """What a shard is to hold; None where there is no plan file.

    Raises:
        CacheError: if the file is malformed, or damaged; those of earlier versions have no hash.
    """
    path = folder.path / FOLDER / f"{name}.json"
    try:
        document = json.loads(read_text_file(path))
        ids, size = document["ids"], document["bytes"]
        sound = bool(ids) and isinstance(ids, list) and all(isinstance(each, str) for each in ids)
        if document["format_version"] != FORMAT_VERSION or not sound or not isinstance(size, int) or size < 0:
            raise ValueError("not a plan of this format version")
        if document.keys() - KEYS or document.get(SELF, self_digest(document)) != self_digest(document):
            raise ValueError("its own sha256 differs")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CacheError(f"{path}: malformed ({error}); delete it: the plan of committed shards is in their sidecars") from error
    return PlanFile(shard=name, packed=packed(ids), bytes=size)


def read_plan_files(folder: CacheFolder, names: Sequence[str]) -> list[PlanFile]:
    """Several at once, in the order of the names; those that are not there are left out.

    Raises:
        CacheError: if one is malformed.
    """
    with ThreadPoolExecutor(READERS, "plan") as pool:
        found = pool.map(lambda name: read_plan_file(folder, name), names, chunksize=1)
        return [each for each in found if each is not None]


def remove_plan_file(folder: CacheFolder, name: str) -> None:
    """Forget a shard; none of what it was to hold is wanted any more.

    Raises:
        CacheError: if the file system refuses.
    """
    path = folder.path / FOLDER / f"{name}.json"
    try:
        folder.disk.unlink(path)
    except OSError as error:
        raise CacheError(f"{path}: cannot be removed ({error.strerror}); check the folder's permissions") from error
