"""Files that others are writing meanwhile: they come, vanish and may be cut short, and none of that is an error."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mer.files.regular_file import read_file


def read_bytes(path: Path) -> bytes | None:
    """Content of a file; None when it cannot be had."""
    try:
        return read_file(path)
    except OSError:
        return None


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object; None when there is none, or none that is whole."""
    content = read_bytes(path)
    try:
        values = None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def entries(folder: Path, suffix: str = "") -> dict[str, int]:
    """Names in a folder that end in `suffix`, less the suffix, sorted, with their inodes; empty when it is not there."""
    try:
        with os.scandir(folder) as found:
            names = {entry.name.removesuffix(suffix): entry.inode() for entry in found if _is_whole(entry.name, suffix)}
    except OSError:
        return {}
    return dict(sorted(names.items()))


def _is_whole(name: str, suffix: str) -> bool:
    # Temporaries of other rooms begin with a dot.
    return name.endswith(suffix) and not name.startswith(".")


def folders(path: Path) -> list[Path]:
    """Folders in a folder, sorted; hidden ones, such as those that are being written, are left out."""
    try:
        with os.scandir(path) as found:
            return sorted(path / entry.name for entry in found if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []


def newest(paths: Iterable[Path]) -> float | None:
    """When the last of these files or folders was changed, in seconds since the epoch; None when none is there."""
    times = []
    for path in paths:
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def number(value: Any) -> float | None:
    """A number of a JSON file that anybody may have written; None for what is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def inside(values: Any, *names: str) -> Any:
    """What lies in objects within objects; None where one of the names is not there."""
    for name in names:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def listed(values: Any, name: str) -> list[Any]:
    """A list in an object of a JSON file that anybody may have written; empty where there is none."""
    found = inside(values, name)
    return found if isinstance(found, list) else []
