"""How far the extraction of one cache is, from its files alone."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from mer.cache.failed_shard import FailedShard, parse_failed_shard
from mer.cache.starts import PROCESS, STARTS
from mer.files.processes import has_ended
from mer.results.artefact import entries, inside, newest, read_bytes, read_object
from mer.status.pace import LEAST_PATIENCE, HostShare, host_shares
from mer.status.shard_mark import ShardMark, read_mark

State = Literal["done", "running", "silent", "stopped", "waiting"]
"""Silent: something is left to do and nothing has been heard for a while. Stopped: the process that did it has ended before."""

Parsed = TypeVar("Parsed")
PROBE, SLOW_SECONDS, READERS = 64, 0.001, 16
"""On a file system where a file takes longer than this (a network), many are read at once; elsewhere it is no faster."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheStatus:
    """One cache at one moment."""

    folder: Path
    """`<root>/<corpus>/<key12>`."""
    corpus: str
    """Name of the corpus."""
    state: State
    """Whether somebody is at work."""
    planned: int
    """Shards that are planned so far; a large corpus is planned while it is worked on."""
    committed: int
    """Shards that are done."""
    failed: tuple[FailedShard, ...]
    """Shards that were given up; the same command tries them again."""
    unreadable: tuple[str, ...]
    """Shards whose sidecar is torn: they are made again."""
    utterances: int
    """Stored."""
    failed_utterances: int
    """Recorded as failed in the shards that are done."""
    seconds: float
    """Seconds of audio done."""
    seconds_left: float
    """Seconds of audio in the planned shards that are not done, if they are like those that are."""
    rate: float
    """Seconds of audio per second, of all that are at work."""
    time_left: float | None
    """Seconds until the planned shards are done; None when nobody is at work."""
    last: float | None
    """Last sign of life, in seconds since the epoch."""
    hosts: tuple[HostShare, ...]
    """Who did what."""


@dataclass(kw_only=True, slots=True)
class CacheReader:
    """Looks at one cache, and at a later look reads only what is new."""

    folder: Path
    """Where the cache is."""
    _marks: dict[tuple[str, int], ShardMark | None] = field(default_factory=dict)

    def read(self, now: float) -> CacheStatus:
        """The state of the cache.

        Args:
            now: seconds since the epoch.
        """
        # First what is failed, then what is done: a shard that is committed in between is done.
        failed = read_failed(self.folder / "failed")
        planned = planned_shards(self.folder)
        marks = self._committed()
        failed = tuple(shard for shard in failed if shard.shard not in marks)
        whole = [mark for mark in marks.values() if mark is not None]
        left = len((planned | marks.keys()) - {name for name, mark in marks.items() if mark} - {shard.shard for shard in failed})
        hosts = host_shares(whole, now)
        rate = sum(host.rate for host in hosts)
        seconds = sum(mark.seconds for mark in whole)
        seconds_left = left * seconds / len(whole) if whole else 0.0
        last = newest([self.folder / "shards", self.folder / "failed", self.folder / "spec.json"])
        return CacheStatus(
            folder=self.folder,
            corpus=self.folder.absolute().parent.name,
            state=_state(left, bool(marks or failed), rate, last, now, ended=all_have_ended(self.folder / STARTS)),
            planned=len(planned | marks.keys()),
            committed=len(whole),
            failed=failed,
            unreadable=tuple(name for name, mark in marks.items() if mark is None),
            utterances=sum(mark.utterances for mark in whole),
            failed_utterances=sum(mark.failed for mark in whole),
            seconds=seconds,
            seconds_left=seconds_left,
            rate=rate,
            time_left=seconds_left / rate if rate else None,
            last=last,
            hosts=hosts,
        )

    def _committed(self) -> dict[str, ShardMark | None]:
        folder = self.folder / "shards"
        files = entries(folder, ".h5")
        # A shard that is replaced gets a new sidecar, and that another inode.
        keys = [(name, inode) for name, inode in entries(folder, ".json").items() if name in files]
        new = [key for key in keys if key not in self._marks]
        looks = read_many([folder / f"{name}.json" for name, _ in new], lambda text: (read_mark(text),))
        found = {key: self._marks[key] for key in keys if key in self._marks}
        found |= {key: look[0] for key, look in zip(new, looks, strict=True) if look is not None}
        # A torn one may be whole at the next look.
        self._marks = {key: mark for key, mark in found.items() if mark is not None}
        return {name: found[name, inode] for name, inode in keys if (name, inode) in found}


def _state(left: int, begun: bool, rate: float, last: float | None, now: float, *, ended: bool) -> State:
    if begun and not left:
        return "done"
    if ended:
        return "stopped"
    if rate or (last is not None and now - last < LEAST_PATIENCE):
        return "running"
    return "silent" if begun else "waiting"


def all_have_ended(starts: Path) -> bool:
    """Whether every process that noted its start in a folder is over; not where there is none, or one on another machine."""
    notes = [read_object(starts / f"{name}.json") or {} for name in entries(starts, ".json")]
    return bool(notes) and all(has_ended(str(note.get(PROCESS))) for note in notes)


def planned_shards(folder: Path) -> set[str]:
    """Names of the planned shards: a file each, or, of earlier writers, all in one."""
    names = set(entries(folder / "plan", ".json"))
    shards = None if names else inside(read_object(folder / "plan.json"), "shards")
    return {*names, *(shards if isinstance(shards, dict) else ())}


def read_failed(folder: Path) -> tuple[FailedShard, ...]:
    """Shards that were given up, sorted by name."""
    found = []
    for name in entries(folder, ".json"):
        try:
            found.append(parse_failed_shard((read_bytes(folder / f"{name}.json") or b"").decode()))
        except ValueError:
            continue  # made in the meantime, or written now
    return tuple(found)


def read_many(paths: list[Path], parse: Callable[[bytes], Parsed]) -> list[Parsed | None]:
    """What many small files say, None for those that are gone; no more of their text is held than is read at once.

    Args:
        paths: of the files.
        parse: what to keep of a file.
    """

    def read(path: Path) -> Parsed | None:
        text = read_bytes(path)
        return None if text is None else parse(text)

    begun = time.monotonic()
    probe = [read(path) for path in paths[:PROBE]]
    rest = paths[PROBE:]
    if time.monotonic() - begun < SLOW_SECONDS * len(probe):
        return [*probe, *map(read, rest)]
    with ThreadPoolExecutor(READERS) as readers:
        return [*probe, *readers.map(read, rest)]
