"""Which utterances go into which shard: decided once, so that an interrupted run ends in the same files."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.cache.cache_error import CacheError
from mer.cache.folder import CacheFolder
from mer.cache.plan_file import (
    PlanFile,
    packed,
    planned_names,
    read_plan_file,
    read_plan_files,
    remove_plan_file,
    unpacked,
)
from mer.cache.sidecar import Sidecar
from mer.cache.verified import VerifiedShards

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlannedShard:
    """A shard that holds at least one wanted utterance."""

    name: str
    """`session1-000`."""
    packed: NDArray[Any]
    """The ids in UTF-8, in the order of extraction; of a committed shard also those that are not wanted."""
    rows: Rows
    """Places of the wanted ones among all wanted utterances of the session, in the same order."""
    bytes: int
    """Expected size."""
    committed: bool
    """Whether there was a sidecar when the plan was read; whether that still holds is for `is_done` to say."""

    @property
    def ids(self) -> list[str]:
        """What `packed` says, as texts."""
        return unpacked(self.packed)


class Plan:
    """The plan of a cache as it is on disk: the names of all shards, committed or to be made."""

    def __init__(self, folder: CacheFolder) -> None:
        """List the files; none is opened until a session is asked for."""
        self._folder = folder
        self._committed = frozenset(folder.sidecar_files())
        self._numbers: dict[str, set[int]] = {}
        for name in {*planned_names(folder), *self._committed, *folder.shard_files()}:
            slug, _, number = name.rpartition("-")
            self._numbers.setdefault(slug, set()).add(int(number))

    def of_session(self, session: str, ids: NDArray[Any]) -> "SessionPlan":
        """Which shards hold the wanted utterances of one session, and which utterances have none yet.

        Shards that are not committed forget what is no longer wanted.

        Args:
            session: as the corpus names it.
            ids: of its wanted utterances in UTF-8, each once, in the order of extraction.

        Raises:
            CacheError: if a plan file is malformed, or cannot be written.
        """
        slug = session_slug(session)
        numbers = sorted(self._numbers.get(slug, ()))
        names = [_name(slug, number) for number in numbers]
        planned = {file.shard: file for file in read_plan_files(self._folder, names)}
        for name in self._committed.intersection(names) - planned.keys():
            sidecar = _sidecar(self._folder, name)
            if sidecar is not None:
                planned[name] = PlanFile(shard=name, packed=packed(sidecar.ids), bytes=sidecar.bytes)
        files = [planned[name] for name in names if name in planned]
        return SessionPlan(self._folder, slug, ids, files, self._committed, numbers[-1] + 1 if numbers else 0)


class SessionPlan:
    """One session of a plan."""

    def __init__(
        self,
        folder: CacheFolder,
        slug: str,
        ids: NDArray[Any],
        files: Sequence[PlanFile],
        committed: frozenset[str],
        next_number: int,
    ) -> None:
        """Use `Plan.of_session`."""
        self._folder, self._slug, self._ids, self._next = folder, slug, ids, next_number
        self._order = np.argsort(ids, kind="stable")
        self._sorted = ids[self._order]
        self._elsewhere: set[int] = set()
        taken = np.zeros(len(ids), dtype=np.bool_)
        found: dict[str, PlannedShard] = {}
        # Two runs at once may have planned an utterance twice: what is committed already keeps it.
        for file in sorted(files, key=lambda file: file.shard not in committed):
            shard = self._kept(file, file.shard in committed, taken)
            if shard is not None:
                found[file.shard] = shard
                taken[shard.rows] = True
        self.kept: list[PlannedShard] = [found[file.shard] for file in files if file.shard in found]
        """In the order of their numbers."""
        self.free: Rows = np.flatnonzero(~taken)
        """Places of the utterances that have no shard yet."""

    def fill(self, sizes: Iterable[float], target_bytes: float) -> Iterator[PlannedShard]:
        """Give the free utterances new shards, in order, each closed before it would grow beyond the target.

        A shard is on disk before it is given out. Where another command has planned one of the same name meanwhile, that
        stays: it is given out here, too, if it is the same, else it is the other command's to make.

        Args:
            sizes: expected bytes of each free utterance; asked for as the shards fill.
            target_bytes: size at which a shard is full; one larger utterance still gets a shard of its own.

        Raises:
            CacheError: if the file system refuses.
        """
        rows: list[int] = []
        filled = 0.0
        for row, size in zip(self.free.tolist(), sizes, strict=True):
            if rows and filled + size > target_bytes and row not in self._elsewhere:
                yield from self._claim(rows, int(filled))
                rows, filled = [], 0.0
            if row not in self._elsewhere:
                rows.append(row)
                filled += size
        if rows:
            yield from self._claim(rows, int(filled))

    def forget(self, shard: PlannedShard) -> PlannedShard:
        """A shard that is to be made anew, without what is not wanted.

        Raises:
            CacheError: if the file system refuses.
        """
        return replace(shard, packed=self._shrink(shard.name, shard.packed, self._places(shard.packed) >= 0, shard.bytes))

    def _kept(self, file: PlanFile, committed: bool, taken: NDArray[np.bool_]) -> PlannedShard | None:
        rows = self._places(file.packed)
        doubled = (rows >= 0) & taken[rows]
        wanted = (rows >= 0) & ~doubled
        ids = self._shrink(file.shard, file.packed, ~doubled if committed else wanted, file.bytes)
        if not wanted.any():
            return None
        return PlannedShard(name=file.shard, packed=ids, rows=rows[wanted], bytes=file.bytes, committed=committed)

    def _shrink(self, name: str, ids: NDArray[Any], stays: NDArray[np.bool_], size: int) -> NDArray[Any]:
        """Keep some of a shard's ids, here and on disk."""
        if stays.all():
            return ids
        if stays.any():
            PlanFile(shard=name, packed=ids[stays], bytes=size).write(self._folder, exclusive=False)
        else:
            remove_plan_file(self._folder, name)
        return ids[stays]

    def _claim(self, rows: list[int], size: int) -> Iterator[PlannedShard]:
        while rows:
            name = _name(self._slug, self._next)
            self._next += 1
            file = PlanFile(shard=name, packed=self._ids[rows], bytes=size)
            try:
                file.write(self._folder, exclusive=True)
            except FileExistsError:
                theirs = read_plan_file(self._folder, name)
                if theirs is None or theirs.ids != file.ids:
                    self._elsewhere.update(self._places(packed([] if theirs is None else theirs.ids)).tolist())
                    rows = [row for row in rows if row not in self._elsewhere]
                    continue
            yield PlannedShard(name=name, packed=file.packed, rows=np.array(rows), bytes=size, committed=False)
            return

    def _places(self, ids: NDArray[Any]) -> Rows:
        """Places of ids among the wanted utterances; -1 for those that are not."""
        places = np.minimum(np.searchsorted(self._sorted, ids), len(self._sorted) - 1)
        return np.where(self._sorted[places] == ids, self._order[places], -1)


def is_done(
    folder: CacheFolder, name: str, ids: Sequence[str], fingerprints: Mapping[str, str], verified: VerifiedShards
) -> bool:
    """Whether a shard need not be made.

    Its sidecar is whole, its file has the size that the sidecar states, and its ids and input fingerprints are the
    planned ones. A file that was touched after its sidecar is also hashed.

    Args:
        folder: the cache.
        name: of the shard.
        ids: that are planned for it.
        fingerprints: current input fingerprint by utterance id; ids that are absent are not compared.
        verified: what has been hashed before.
    """
    sidecar = _sidecar(folder, name)
    return sidecar is not None and _accounts_for(sidecar, ids, fingerprints) and _file_is_intact(folder, sidecar, verified)


def read_plan(folder: CacheFolder, *, without: Container[str] = ()) -> dict[str, list[str]]:
    """The ids that each shard is planned to hold, as far as planning has come.

    Args:
        folder: the cache.
        without: shards that are not looked at, such as those that are committed.

    Raises:
        CacheError: if a plan file is malformed.
    """
    names = [name for name in planned_names(folder) if name not in without]
    return {file.shard: file.ids for file in read_plan_files(folder, names)}


def _sidecar(folder: CacheFolder, name: str) -> Sidecar | None:
    try:
        return folder.sidecar(name)
    except (CacheError, OSError, UnicodeDecodeError):
        return None


def _accounts_for(sidecar: Sidecar, ids: Sequence[str], fingerprints: Mapping[str, str]) -> bool:
    current = {name: fingerprints.get(name, stored) for name, stored in sidecar.fingerprints.items()}
    return set(sidecar.ids) == set(ids) and current == sidecar.fingerprints


def _file_is_intact(folder: CacheFolder, sidecar: Sidecar, verified: VerifiedShards) -> bool:
    path = folder.shard_path(sidecar.shard)
    try:
        file, beside = path.stat(), folder.sidecar_path(sidecar.shard).stat()
        # A commit renames the sidecar after the file, so a file that is not older was touched since.
        if max(file.st_mtime_ns, file.st_ctime_ns) >= max(beside.st_mtime_ns, beside.st_ctime_ns):
            verified.check(path, sidecar)
    except (OSError, CacheError):
        return False
    return file.st_size == sidecar.bytes


def _name(slug: str, number: int) -> str:
    return f"{slug}-{number:03d}"


def session_of_shard(name: str) -> str:
    """How the session of a shard is called in its name, as by `session_slug`."""
    return name.rpartition("-")[0]


def session_slug(session: str) -> str:
    """A session as the names of its shards begin."""
    plain = re.sub(r"[^0-9a-z]+", "_", session.lower())[:40]
    if plain != session or not plain:
        # Different sessions must never share a name, whatever a file system makes of their letters.
        plain += "_" + sha256(session.encode("utf-8")).hexdigest()[:8]
    return f"session{plain}"
