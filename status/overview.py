"""Everything of mer that lies at some places, and how far it is."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mer.cache.spec import SET_FILE
from mer.results.artefact import folders, read_object
from mer.results.names import CONFIG, GRID, RESULT
from mer.results.row_names import read_row, row_names
from mer.status.alignment_status import LOG, AlignmentStatus, read_alignment_status
from mer.status.cache_status import CacheReader, CacheStatus
from mer.status.errors import StatusError
from mer.status.grid_status import GridStatus, read_grid_status
from mer.status.run_status import RunStatus, read_run_status
from mer.status.set_status import SetStatus, read_set_status

DEPTH = 2
"""Folders below a given one that are looked into: `<root>/<corpus>/<key12>`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What was found, each kind in the order of the places."""

    alignments: tuple[AlignmentStatus, ...]
    """Folders of `mer align`."""
    caches: tuple[CacheStatus, ...]
    """Feature caches."""
    sets: tuple[SetStatus, ...]
    """Sets that put several of them together."""
    grids: tuple[GridStatus, ...]
    """Grids, with the runs of their rows."""
    runs: tuple[RunStatus, ...]
    """Run directories that belong to none of these grids."""

    @property
    def failed(self) -> bool:
        """Whether a shard, a run or a row was given up."""
        runs = [*self.runs, *(run for grid in self.grids for row in grid.rows for run in row.runs)]
        rows = [row for grid in self.grids for row in grid.rows]
        return any([*(cache.failed for cache in self.caches), *(run.failed for run in runs), *(row.failure for row in rows)])

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)


@dataclass(kw_only=True, slots=True)
class StatusReader:
    """Looks at some places; a later look reads only the shards that are new."""

    places: tuple[Path, ...]
    """Caches, folders of caches, run directories, folders of them, grids, folders of `mer align`."""
    caches: Path
    """Folder of the feature caches, which know the sessions that runs are tested on."""
    required: bool
    """Whether each place has to be there."""
    _readers: dict[Path, CacheReader] = field(default_factory=dict)

    def read(self, now: float) -> Overview:
        """What lies there.

        Args:
            now: seconds since the epoch.

        Raises:
            StatusError: nothing of mer is at a required place, or at any.
        """
        found = {place: list(dict.fromkeys(search(place, DEPTH))) for place in self.places}
        empty = [place for place in found if not found[place]]
        if (self.required and empty) or len(empty) == len(found):
            raise StatusError(
                f"{' and '.join(map(str, empty))}: no feature cache, run, grid or folder of `mer align` here (yet); "
                "give one of these, or a folder of them"
            )
        every = list(dict.fromkeys(each for place in found.values() for each in place))
        read = [read_grid_status(path, self.caches, now) for kind, path in every if kind == GRID]
        grids = tuple(grid for grid in read if grid is not None)
        of_grids = {run.directory.resolve() for grid in grids for row in grid.rows for run in row.runs}
        runs = [path for kind, path in every if kind == CONFIG and path.resolve() not in of_grids]
        return Overview(
            alignments=tuple(read_alignment_status(path, now) for kind, path in every if kind == LOG),
            caches=tuple(self._reader(path).read(now) for kind, path in every if kind == "spec.json"),
            sets=tuple(read_set_status(path) for kind, path in every if kind == SET_FILE),
            grids=grids,
            runs=tuple(
                replace(read_run_status(path, self.caches, now), name=name)
                for path, name in zip(runs, row_names([read_row(path) for path in runs]), strict=True)
            ),
        )

    def _reader(self, folder: Path) -> CacheReader:
        return self._readers.setdefault(folder, CacheReader(folder=folder))


def search(path: Path, depth: int = DEPTH) -> Sequence[tuple[str, Path]]:
    """What a folder is, by the file that says so; else what the folders in it are."""
    for marker in (GRID, LOG, "spec.json"):
        if (path / marker).is_file():
            return [(marker, path)]
    if (path / SET_FILE).is_file():
        caches = read_set_status(path).caches
        return [*(("spec.json", each) for each in caches if (each / "spec.json").is_file()), (SET_FILE, path)]
    # The folder of an encoder has a config.json, too.
    if (path / RESULT).is_file() or "config" in (read_object(path / CONFIG) or {}):
        return [(CONFIG, path)]
    return [found for below in folders(path) for found in search(below, depth - 1)] if depth else []
