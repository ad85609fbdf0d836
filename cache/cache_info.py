"""What a cache holds, in numbers."""

from collections import Counter
from pathlib import Path
from typing import Any

from mer.cache.folder import CacheFolder
from mer.cache.plan import read_plan
from mer.cache.spec import spec_dim, spec_layers


def cache_info(folder: CacheFolder | Path | str) -> dict[str, Any]:
    """Summary of the committed shards as a JSON object; reads sidecars only, writes nothing.

    `utterances`, `units`, `labels` and `sessions` count every utterance once, `bytes` what lies on disk.

    Args:
        folder: a cache's folder, or a root that holds exactly one.

    Raises:
        CacheError: if there is no cache or several, or a plan file is malformed.
    """
    folder = CacheFolder.of(folder)
    sidecars = folder.sidecars()
    spec = folder.spec
    granularities: list[str] = spec["granularities"]
    units = dict.fromkeys(granularities, 0)
    records = {}
    for sidecar in sidecars.values():
        for row, record in enumerate(sidecar.utterances):
            if record.id not in records:
                records[record.id] = record
                for granularity in granularities:
                    units[granularity] += sidecar.units[granularity][row]
    stored = {g: sum(s.datasets[f"{g}/data"].nbytes for s in sidecars.values()) for g in granularities}
    failed = {f.id: f.reason for s in sidecars.values() for f in s.failed if f.id not in records}
    waiting = {name: len(ids) for name, ids in read_plan(folder, without=sidecars).items()}
    return {
        "folder": str(folder.path),
        "format_version": spec["format_version"],
        "key": folder.key,
        "corpus": spec["corpus"],
        "models": {name: spec[name] for name in ("speech", "text") if spec.get(name) is not None},
        "dtype": spec["storage"]["dtype"],
        "granularities": {
            g: {
                "units": units[g],
                "bytes": stored[g],
                "layers": spec_layers(spec, g),
                "dim": spec_dim(spec, g),
            }
            for g in granularities
        },
        "utterances": len(records),
        "seconds": sum(record.seconds for record in records.values()),
        "failed": [{"id": name, "reason": failed[name]} for name in sorted(failed)],
        "labels": dict(sorted(Counter(record.label for record in records.values()).items())),
        "sessions": dict(sorted(Counter(record.session for record in records.values()).items())),
        "speakers": len({record.speaker for record in records.values()}),
        "alignments": dict(sorted(Counter(record.alignment for record in records.values()).items())),
        "shards": len(sidecars),
        "bytes": sum(sidecar.bytes for sidecar in sidecars.values()),
        "unfinished": {"shards": len(waiting), "utterances": sum(waiting.values())},
        "damaged": sorted(folder.torn),
    }
