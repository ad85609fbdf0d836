"""Which utterances go into which shard: decided once, so that an interrupted run ends in the same files."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from mer.cache.cache_error import CacheError
from mer.cache.folder import CacheFolder
from mer.cache.sidecar import SHARD_NAME, Sidecar
from mer.cache.spec import FORMAT_VERSION
from mer.cache.verified import VerifiedShards

TARGET_BYTES = 256_000_000
"""Size at which a shard is full."""


def plan_shards(
    folder: CacheFolder,
    wanted: Sequence[tuple[str, str, int]],
    target_bytes: int | float = TARGET_BYTES,
    *,
    fingerprints: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Assign every wanted utterance to a shard, and keep the assignment in `plan.json`.

    Utterances that have a shard stay in it. New ones fill new shards of their session, in the given order,
    each closed before it would grow beyond the target. A shard that is not done forgets utterances that are
    no longer wanted; shards of sessions that are not asked for are left as they are. The same folder and
    arguments give the same plan in every process.

    Args:
        folder: the cache.
        wanted: id, session and estimated bytes of every utterance, in extraction order.
        target_bytes: size at which a shard is full; one larger utterance still gets a shard of its own.
        fingerprints: current input fingerprints, to tell a committed shard whose inputs changed (and which
            is made anew) from one that is done.

    Returns:
        The shards that hold at least one wanted utterance, by name, with all ids of each.

    Raises:
        CacheError: if an id is wanted twice, or `plan.json` is malformed.
    """
    sessions = {utterance_id: session for utterance_id, session, _ in wanted}
    if len(sessions) < len(wanted):
        ids = [utterance_id for utterance_id, _, _ in wanted]
        raise CacheError(f"utterance {next(i for i in ids if ids.count(i) > 1)!r} is wanted twice; ids must be unique")
    committed = folder.sidecars()
    before = read_plan(folder)
    plan = {**{name: list(sidecar.ids) for name, sidecar in committed.items()}, **before}
    in_scope = {_slug(session) for session in sessions.values()}
    taken: set[str] = set()
    kept: dict[str, list[str]] = {}
    done = {name for name, sidecar in committed.items() if _accounts_for(sidecar, plan[name], fingerprints or {})}
    # Two runs at once may have planned an utterance twice: what is done already keeps it.
    for name in sorted(plan, key=lambda name: (name not in done, name)):
        ids = [i for i in plan[name] if i not in taken]
        session = name.rpartition("-")[0]
        if name not in done and session in in_scope:
            ids = [i for i in ids if i in sessions and _slug(sessions[i]) == session]
        if ids:
            kept[name] = ids
            taken.update(ids)
    numbers = _next_numbers([*plan, *folder.shard_files()])
    for session, ids in _fill([w for w in wanted if w[0] not in taken], target_bytes):
        number = numbers.get(_slug(session), 0)
        numbers[_slug(session)] = number + 1
        kept[f"{_slug(session)}-{number:03d}"] = ids
    kept = {name: kept[name] for name in sorted(kept)}
    if kept != before:
        document = {"format_version": FORMAT_VERSION, "shards": kept}
        folder.write_text("plan.json", json.dumps(document, indent=1, sort_keys=True) + "\n")
    return {name: list(ids) for name, ids in kept.items() if not sessions.keys().isdisjoint(ids)}


def pending(folder: CacheFolder, plan: Mapping[str, Sequence[str]], fingerprints: Mapping[str, str]) -> list[str]:
    """The planned shards that are not done, sorted.

    A shard is done when its sidecar is whole, its file has the size that the sidecar states, and its ids and
    input fingerprints are the planned ones. A file that was touched after its sidecar is also hashed.

    Args:
        folder: the cache.
        plan: from `plan_shards`.
        fingerprints: current input fingerprint by utterance id; ids that are absent are not compared.
    """
    committed = folder.sidecars()
    verified = VerifiedShards(folder.path)
    redo = [
        name
        for name in sorted(plan)
        if name not in committed
        or not _accounts_for(committed[name], plan[name], fingerprints)
        or not _file_is_intact(folder, committed[name], verified)
    ]
    verified.save()
    return redo


def _accounts_for(sidecar: Sidecar, ids: Sequence[str], fingerprints: Mapping[str, str]) -> bool:
    if set(sidecar.ids) != set(ids):
        return False
    return all(fingerprints.get(name, stored) == stored for name, stored in sidecar.fingerprints.items())


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


def read_plan(folder: CacheFolder) -> dict[str, list[str]]:
    """The plan as it was last written; empty when there is none.

    Raises:
        CacheError: if `plan.json` is malformed.
    """
    path = folder.path / "plan.json"
    try:
        document = json.loads(path.read_text("utf-8"))
        shards = document["shards"]
        plan = {name: list(ids) for name, ids in shards.items()}
        sound = all(SHARD_NAME.fullmatch(name) for name in plan)
        sound &= all(isinstance(i, str) for ids in shards.values() for i in ids)
        if document["format_version"] != FORMAT_VERSION or not sound:
            raise ValueError("not a plan of this format version")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CacheError(f"{path}: malformed ({error}); delete it: the plan of committed shards is in their sidecars") from error
    return plan


def _slug(session: str) -> str:
    plain = re.sub(r"[^0-9a-z]+", "_", session.lower())[:40]
    if plain != session or not plain:
        # Different sessions must never share a name, whatever a file system makes of their letters.
        plain += "_" + hashlib.sha256(session.encode("utf-8")).hexdigest()[:8]
    return f"session{plain}"


def _next_numbers(names: Sequence[str]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for name in names:
        slug, _, number = name.rpartition("-")
        numbers[slug] = max(numbers.get(slug, 0), int(number) + 1)
    return numbers


def _fill(wanted: Sequence[tuple[str, str, int]], target_bytes: int | float) -> list[tuple[str, list[str]]]:
    by_session: dict[str, list[tuple[str, int]]] = {}
    for utterance_id, session, size in wanted:
        by_session.setdefault(session, []).append((utterance_id, size))
    shards: list[tuple[str, list[str]]] = []
    for session, members in by_session.items():
        filled = 0.0
        ids: list[str] = []
        for utterance_id, size in members:
            if ids and filled + size > target_bytes:
                shards.append((session, ids))
                ids, filled = [], 0.0
            ids.append(utterance_id)
            filled += size
        shards.append((session, ids))
    return shards
