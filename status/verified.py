"""Every feature cache, run directory, grid and export at some places, compared byte by byte with what was written."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mer.cache import CacheError, CacheFolder, verify
from mer.cache.spec import SET_FILE
from mer.results.artefact import folders, read_object
from mer.results.names import CONFIG, GRID
from mer.results.run_files import is_export
from mer.results.whole import Whole, check_export, check_grid, check_run
from mer.status.errors import StatusError
from mer.status.overview import DEPTH, search
from mer.status.set_status import read_set_status

CACHE = "spec.json"


def check_places(places: Sequence[Path]) -> Iterator[Whole]:
    """Check everything of mer that lies at some places, one after the other; nothing is changed.

    Args:
        places: caches, run directories, grids, exports, or folders of them.

    Raises:
        StatusError: nothing of the kind is at one of the places.
    """
    found = {place: list(dict.fromkeys([*_exports(place), *_others(place)])) for place in places}
    for place, here in found.items():
        if not here:
            raise StatusError(
                f"{place}: no feature cache, run directory, grid or export here; give one of these, or a folder of them"
            )
    for check, folder in dict.fromkeys(each for here in found.values() for each in here):
        yield check(folder)


def _others(place: Path) -> list[tuple[Callable[[Path], Whole], Path]]:
    checks = {CACHE: check_cache, SET_FILE: check_set, GRID: check_grid, CONFIG: check_run}
    return [(checks[marker], folder) for marker, folder in search(place) if marker in checks]


def _exports(place: Path, depth: int = DEPTH) -> list[tuple[Callable[[Path], Whole], Path]]:
    if is_export(read_object(place / CONFIG) or {}):
        return [(check_export, place)]
    return [found for below in folders(place) for found in _exports(below, depth - 1)] if depth else []


def check_set(path: Path) -> Whole:
    """Read the file of a set, and look for its caches; they are checked as caches."""
    found, size = read_set_status(path), (path / SET_FILE).stat().st_size
    problems = (found.problem,) if found.problem else ()
    return Whole(path=str(path), kind="set of caches", files=1, bytes=size, unchecked=(), problems=problems)


def check_cache(path: Path) -> Whole:
    """Read every byte of a feature cache."""
    try:
        folder = CacheFolder.find(path)
        report = verify(folder, full=True)
    except CacheError as problem:
        return Whole(path=str(path), kind="cache", files=0, bytes=0, unchecked=(), problems=(str(problem),))
    problems = tuple(f"{each.shard}: {each.message}" for each in report.findings)
    return Whole(path=str(path), kind="cache", files=report.shards, bytes=report.bytes, unchecked=(), problems=problems)
