"""How fast shards are made, and by whom."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mer.status.shard_mark import ShardMark

LEAST_PATIENCE = 300.0
"""Seconds in which nobody is called silent."""
PATIENCE = 3.0
"""How many times its longest recent shard a worker may take before it counts as gone."""
RECENT = 8
"""Shards of a worker, the last ones, that its pace is taken from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostShare:
    """What one machine did."""

    host: str
    """Its name, as the sidecars say it."""
    shards: int
    """Made by it."""
    seconds: float
    """Seconds of audio in them."""
    workers: int
    """Processes of it that are at work, as far as their last shards tell."""
    rate: float
    """Seconds of audio per second that these make now; 0 without any."""
    last: float | None
    """When its last shard was finished, in seconds since the epoch."""


def host_shares(marks: Iterable[ShardMark], now: float) -> tuple[HostShare, ...]:
    """The part of every machine, sorted by name.

    Args:
        marks: of all committed shards.
        now: seconds since the epoch.
    """
    by_host: dict[str, list[ShardMark]] = {}
    for mark in marks:
        by_host.setdefault(mark.host, []).append(mark)
    return tuple(_share(host, made, now) for host, made in sorted(by_host.items()))


def _share(host: str, made: Sequence[ShardMark], now: float) -> HostShare:
    workers: dict[int, list[ShardMark]] = {}
    for mark in made:
        workers.setdefault(mark.process, []).append(mark)
    paces = [pace for own in workers.values() if (pace := _pace(own, now)) is not None]
    return HostShare(
        host=host,
        shards=len(made),
        seconds=sum(mark.seconds for mark in made),
        workers=len(paces),
        rate=sum(paces),
        last=max((mark.finished for mark in made if mark.finished is not None), default=None),
    )


def _pace(made: Sequence[ShardMark], now: float) -> float | None:
    """Seconds of audio per second of one process; None when it is gone."""
    times = sorted(
        (mark.finished, mark.started, mark.seconds) for mark in made if mark.finished is not None and mark.started is not None
    )[-RECENT:]
    if not times or now - times[-1][0] > max(LEAST_PATIENCE, PATIENCE * max(end - begin for end, begin, _ in times)):
        return None
    # The next shard is begun while the last one is written: time that two of them share counts once.
    busy, until = 0.0, float("-inf")
    for end, begin, _ in times:
        busy += max(0.0, end - max(begin, until))
        until = max(until, end)
    return sum(seconds for _, _, seconds in times) / busy if busy else None
