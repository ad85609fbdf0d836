"""The plan of a cache in one go, for corpora without recordings."""

from collections.abc import Mapping, Sequence

from mer.cache import CacheFolder, Plan, VerifiedShards, is_done
from mer.cache.plan_file import packed


def plan_shards(
    folder: CacheFolder,
    wanted: Sequence[tuple[str, str, int]],
    target_bytes: float = 256e6,
    *,
    fingerprints: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """The shards that hold at least one wanted utterance (id, session, bytes), by name, with the ids that `Plan` gives each."""
    sessions: dict[str, list[tuple[str, int]]] = {}
    for utterance_id, session, size in wanted:
        sessions.setdefault(session, []).append((utterance_id, size))
    plan = Plan(folder)
    found: dict[str, list[str]] = {}
    for session, members in sessions.items():
        part = plan.of_session(session, packed(utterance_id for utterance_id, _ in members))
        for shard in part.kept:
            done = is_done(folder, shard.name, shard.ids, fingerprints or {}, VerifiedShards(folder.path))
            found[shard.name] = (shard if done or not shard.committed else part.forget(shard)).ids
        for shard in part.fill([members[row][1] for row in part.free], target_bytes):
            found[shard.name] = shard.ids
    return {name: found[name] for name in sorted(found)}


def pending(folder: CacheFolder, plan: Mapping[str, Sequence[str]], fingerprints: Mapping[str, str]) -> list[str]:
    """The planned shards that are not done, sorted."""
    verified = VerifiedShards(folder.path)
    redo = [name for name in sorted(plan) if not is_done(folder, name, plan[name], fingerprints, verified)]
    verified.save()
    return redo
