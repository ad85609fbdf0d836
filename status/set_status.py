"""What a set of caches puts together, from its one file."""

from dataclasses import dataclass
from pathlib import Path

from mer.cache.cache_error import CacheError
from mer.cache.set_file import member_places, read_set


@dataclass(frozen=True, kw_only=True, slots=True)
class SetStatus:
    """One set of caches."""

    folder: Path
    """`<root>/<corpus>/<key12>`."""
    granularities: tuple[str, ...]
    """What heads can take of it, such as `F@wavlm`; empty where its file cannot be read."""
    caches: tuple[Path, ...]
    """Folders of its caches, whose state is told beside it."""
    problem: str = ""
    """What is wrong with it; empty for nothing."""


def read_set_status(folder: Path) -> SetStatus:
    """What a set says, and whether its caches are there."""
    try:
        names, places = tuple(read_set(folder)["granularities"]), tuple(member_places(folder))
    except CacheError as problem:
        return SetStatus(folder=folder, granularities=(), caches=(), problem=str(problem))
    gone = [str(place) for place in places if not (place / "spec.json").is_file()]
    said = f"{folder}: {', '.join(gone)} of it is not there; put it back, or give the `mer extract` command again" if gone else ""
    return SetStatus(folder=folder, granularities=names, caches=places, problem=said)
