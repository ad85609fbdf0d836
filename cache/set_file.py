"""The one file of a set of caches, and what it says; nothing here opens a cache."""

import json
import re
from pathlib import Path
from typing import Any

from mer.cache.cache_error import CacheError
from mer.cache.spec import FORMAT_VERSION, KEY_FOLDER, SET_FILE, cache_key
from mer.files.regular_file import read_text_file


def short_name(model: str) -> str:
    """How an encoder is called where nobody gave it a name: the last part of its hub id or folder, `wavlm-large`."""
    last = model.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9_-]+", "-", last.lower()).strip("-_") or "encoder"


def set_folders(path: Path) -> list[Path]:
    """The sets at a place: a set's own folder, or those below a root."""
    if (path / SET_FILE).is_file():
        return [path]
    found = sorted(each.parent for pattern in (f"*/{SET_FILE}", f"*/*/{SET_FILE}") for each in path.glob(pattern))
    return [folder for folder in found if KEY_FOLDER.fullmatch(folder.resolve().name)]


def read_set(folder: Path) -> dict[str, Any]:
    """The spec of a set.

    Raises:
        CacheError: it is damaged, of another version, or not what its folder's name says.
    """
    path = folder / SET_FILE
    cure = "give the `mer extract` command that made it again"
    try:
        spec = json.loads(read_text_file(path))
        right = spec["format_version"] == FORMAT_VERSION and cache_key(spec)[:12] == folder.resolve().name
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CacheError(f"{path}: cannot be read as a set of caches ({error}); {cure}") from error
    if not right:
        raise CacheError(f"{path}: it was edited, its folder was renamed, or it is of another version of mer; {cure}")
    found: dict[str, Any] = spec
    return found


def member_places(folder: Path) -> list[Path]:
    """Folders of the caches of a set, each once, whether they are there or not; raises CacheError as `read_set`."""
    return [folder.parent / str(key)[:12] for key in dict.fromkeys(read_set(folder)["caches"].values())]
