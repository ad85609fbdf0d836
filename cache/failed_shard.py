"""Shards that could not be made: said in the cache's folder until they are."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedShard:
    """A shard whose making failed at the last try; `failed/<shard>.json`, gone when the shard is committed."""

    shard: str
    """Name of the shard."""
    reason: str
    """The last error, or how the worker ended."""
    tries: int
    """How often it was begun by the command that gave up."""
    host: str
    """Where that command ran."""
    time: float
    """When it gave up, in seconds since 1970."""

    def to_json(self) -> str:
        """The text of the file, ending in a newline."""
        return json.dumps(asdict(self), sort_keys=True, indent=1, allow_nan=False) + "\n"


def parse_failed_shard(text: str) -> FailedShard:
    """Read back what `FailedShard.to_json` wrote.

    Raises:
        ValueError: if it is anything else.
    """
    document: dict[str, Any] = json.loads(text)
    try:
        found = FailedShard(**document)
        sound = all(isinstance(value, str) for value in (found.shard, found.reason, found.host))
        sound &= isinstance(found.tries, int) and math.isfinite(found.time)
    except TypeError as error:
        raise ValueError(f"not the record of a failed shard ({error})") from error
    if not sound:
        raise ValueError("not the record of a failed shard")
    return found
