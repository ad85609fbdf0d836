"""Checking a cache without changing it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer.cache.cache_error import CacheError
from mer.cache.feature_cache import FeatureCache
from mer.cache.folder import CacheFolder
from mer.cache.last_layer import OutdatedCacheError, check_numbers
from mer.cache.plan import read_plan
from mer.cache.records import FAILED_FIELDS, OPTIONAL_FIELDS, STRING_FIELDS
from mer.cache.shard_file import ShardFile
from mer.cache.shard_image import count_unusable
from mer.cache.sidecar import Sidecar
from mer.files import file_sha256


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong."""

    shard: str
    """Name of the shard, or of another file of the cache."""
    problem: str
    """What was found and what was expected."""
    action: str
    """What to do about it."""

    @property
    def message(self) -> str:
        """Problem and action as one line."""
        return f"{self.problem}; {self.action}"


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """What `verify` looked at and found."""

    folder: str
    """Path of the cache."""
    full: bool
    """Whether contents were read, not only sizes."""
    shards: int
    """Committed shards."""
    utterances: int
    """Utterances with activations, each counted once."""
    bytes: int
    """Bytes that were checked: all of the shards when full."""
    findings: tuple[Finding, ...]
    """Empty when all is well."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def verify(folder: CacheFolder | Path | str, *, full: bool, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
    """Check a cache; nothing is written, and what earlier commands found right is not believed.

    The quick check reads sidecars and file sizes. The full one also hashes every shard, compares its HDF5
    structure and its tables with the sidecar, and looks for values that are infinite or not a number, or that an earlier
    version stored otherwise than they are taken for.

    Args:
        folder: the cache's folder, or a root that holds exactly one.
        full: read the contents too; about one core-second per GB, or as fast as the disk.
        progress: called with bytes done and bytes in all.

    Raises:
        CacheError: if there is no cache, or several.
    """
    folder = CacheFolder.of(folder)
    sidecars = folder.sidecars()
    findings = _uncommitted(folder, sidecars)
    seen: dict[str, str] = {}
    done = 0
    total = sum(sidecar.bytes for sidecar in sidecars.values())
    for name, sidecar in sidecars.items():
        findings += _repeated(sidecar, seen)
        problem = _check_shard(folder, sidecar, full=full)
        if problem:
            findings.append(Finding(shard=name, problem=problem, action=_redo(folder, name)))
        done += sidecar.bytes
        if progress is not None:
            progress(done, total)
    if full and not findings:
        findings = _outdated(folder)
    return VerifyReport(
        folder=str(folder.path),
        full=full,
        shards=len(sidecars),
        utterances=len({u.id for sidecar in sidecars.values() for u in sidecar.utterances}),
        bytes=total if full else 0,
        findings=tuple(findings),
    )


def _outdated(folder: CacheFolder) -> list[Finding]:
    """Whole shards with numbers that are not what they would be taken for."""
    cache = FeatureCache(folder)
    try:
        for granularity in cache.granularities:
            check_numbers(cache, granularity)
    except OutdatedCacheError as problem:
        return [Finding(shard="spec.json", problem=str(problem), action="then delete this cache")]
    return []


def _redo(folder: CacheFolder, name: str) -> str:
    return f"delete {folder.sidecar_path(name)} and re-run `mer extract` with the same options: it makes this shard anew"


def _uncommitted(folder: CacheFolder, sidecars: dict[str, Sidecar]) -> list[Finding]:
    findings = [Finding(shard=name, problem=problem, action=_redo(folder, name)) for name, problem in folder.torn.items()]
    resume = "re-run `mer extract` with the same options: it continues where it stopped"
    try:
        planned = read_plan(folder, without=sidecars)
    except CacheError as error:
        findings.append(Finding(shard="plan", problem=str(error), action="delete that file"))
        planned = {}
    waiting = set(planned) | set(folder.shard_files())
    for name in sorted(waiting - set(sidecars) - set(folder.torn)):
        ids = len(planned.get(name, []))
        problem = f"not extracted to its end: {ids} utterances are waiting" if ids else "a file without a sidecar"
        findings.append(Finding(shard=name, problem=problem, action=resume))
    if not sidecars and not findings:
        findings.append(Finding(shard="spec.json", problem="no shard is committed yet", action="run `mer extract`"))
    return findings


def _repeated(sidecar: Sidecar, seen: dict[str, str]) -> list[Finding]:
    findings = []
    for utterance_id in sidecar.ids:
        first = seen.setdefault(utterance_id, sidecar.shard)
        if first != sidecar.shard:
            findings.append(
                Finding(
                    shard=sidecar.shard,
                    problem=(f"utterance {utterance_id!r} is also in shard {first}, which is the one that is read"),
                    action=("delete the sidecar of the shard that does not belong here, and re-run `mer extract`"),
                )
            )
            break
    return findings


def _check_shard(folder: CacheFolder, sidecar: Sidecar, *, full: bool) -> str:
    """What is wrong with a shard; empty if nothing is."""
    path = folder.shard_path(sidecar.shard)
    try:
        size = path.stat().st_size
        if size != sidecar.bytes:
            return f"{path}: {size:,} bytes, expected {sidecar.bytes:,}: truncated, or not the shard that was committed"
        if not full:
            return ""
        found = file_sha256(path)
        if found != sidecar.sha256:
            return f"{path}: altered since it was committed: sha256 {found[:12]}, expected {sidecar.sha256[:12]}"
        shard = ShardFile(path, sidecar, folder.spec, None)
        return _check_tables(shard) or _check_values(shard)
    except FileNotFoundError:
        return f"{path}: missing, though it was committed"
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    except CacheError as error:
        return str(error)


def _check_tables(shard: ShardFile) -> str:
    sidecar = shard.sidecar
    ids = sidecar.ids
    if len(set(ids)) < len(ids):
        return f"{shard.path}: utterance {next(i for i in ids if ids.count(i) > 1)!r} occurs twice"
    tables = [("utterance", STRING_FIELDS, sidecar.utterances), ("failed", FAILED_FIELDS, sidecar.failed)]
    for group, fields, records in tables:
        for field in fields:
            said = [getattr(record, field).encode("utf-8") for record in records]
            absent = field in OPTIONAL_FIELDS and f"{group}/{field}" not in sidecar.datasets
            stored = [b""] * len(said) if absent else shard.array(f"{group}/{field}").tolist()
            if stored != said:
                return f"{shard.path}: /{group}/{field} disagrees with the sidecar"
    if shard.array("utterance/seconds").tolist() != [record.seconds for record in sidecar.utterances]:
        return f"{shard.path}: /utterance/seconds disagrees with the sidecar"
    return ""


def _check_values(shard: ShardFile) -> str:
    for granularity, counts in shard.sidecar.units.items():
        data = shard.array(f"{granularity}/data")
        start = 0
        for record, units in zip(shard.sidecar.utterances, counts, strict=True):
            unusable = count_unusable(data[start : start + units])
            if unusable:
                return (
                    f"{shard.path}: utterance {record.id!r}: {unusable} values of granularity {granularity} "
                    "are infinite or not a number"
                )
            shard.release(f"{granularity}/data", start, start + units)
            start += units
        span = f"{granularity}/span"
        if span in shard.sidecar.datasets and not np.isfinite(shard.array(span)).all():
            return f"{shard.path}: /{span} holds a time that is infinite or not a number"
    return ""
