"""The JSON beside a shard: what the shard holds, and the proof that it was committed whole."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mer.cache.cache_error import CacheError
from mer.cache.granularity import GRANULARITIES
from mer.cache.layout import Dataset
from mer.cache.records import OPTIONAL_FIELDS, FailedUtterance, UtteranceRecord
from mer.cache.spec import FORMAT_VERSION, canonical_json

SELF = "self_sha256"
SHARD_NAME = re.compile(r"session[0-9a-z_]{1,80}-[0-9]{3,9}")
"""Names of shards are made by the plan; nothing else may become a file name."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sidecar:
    """One committed shard, without its activations."""

    key: str
    """Full key of the cache it belongs to."""
    shard: str
    """Name of the shard: the file is `shards/<shard>.h5`."""
    bytes: int
    """Size of the file."""
    sha256: str
    """Hex digest of the file."""
    utterances: tuple[UtteranceRecord, ...]
    """In storage order."""
    units: Mapping[str, tuple[int, ...]]
    """Per granularity, the units of each utterance."""
    failed: tuple[FailedUtterance, ...]
    """Planned for this shard, but without activations."""
    datasets: Mapping[str, Dataset]
    """Every dataset of the file by name, such as `F/data`."""
    provenance: Mapping[str, Any]
    """Who made it, when and with which versions; not part of the identity."""

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids that the shard accounts for: stored, then failed."""
        return tuple(u.id for u in self.utterances) + tuple(u.id for u in self.failed)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Input fingerprint of every id."""
        stored = {record.id: record.fingerprint for record in self.utterances}
        return stored | {record.id: record.fingerprint for record in self.failed}

    def to_json(self) -> str:
        """The text of the file, ending in a newline; `self_sha256` covers everything else in it."""
        document = self._document()
        document[SELF] = self_digest(document)
        return json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n"

    def _document(self) -> dict[str, Any]:
        utterances = [
            {**_said(record), "units": {g: counts[row] for g, counts in self.units.items()}}
            for row, record in enumerate(self.utterances)
        ]
        datasets = {name: {"shape": list(d.shape), "dtype": d.dtype, "offset": d.offset} for name, d in self.datasets.items()}
        return {
            "format_version": FORMAT_VERSION,
            "key": self.key,
            "shard": self.shard,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "granularities": list(self.units),
            "utterances": utterances,
            "failed": [asdict(record) for record in self.failed],
            "datasets": datasets,
            "provenance": json.loads(canonical_json(self.provenance)),
        }


def _said(record: UtteranceRecord) -> dict[str, Any]:
    """An utterance's fields; what it need not have is left out where it is empty."""
    return {name: value for name, value in asdict(record).items() if value or name not in OPTIONAL_FIELDS}


def parse_sidecar(text: str, *, where: str) -> Sidecar:
    """Read back what `Sidecar.to_json` wrote.

    Args:
        text: content of the file.
        where: its path, for errors.

    Raises:
        CacheError: if a byte of its content differs from what was written, or it is of another version.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise TypeError("not a JSON object")
        version = document.get("format_version")
        stated = document.pop(SELF, None)
    except (ValueError, TypeError, RecursionError) as error:
        raise CacheError(f"{where}: not the sidecar of a shard ({error}); re-run `mer extract`") from error
    if version != FORMAT_VERSION:
        raise CacheError(f"{where}: shard of format version {version!r}, this mer reads {FORMAT_VERSION}; re-run `mer extract`")
    if stated != self_digest(document):
        raise CacheError(f"{where}: the sidecar was altered or cut short; delete it and re-run `mer extract`")
    try:
        return _build(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CacheError(f"{where}: malformed sidecar ({error}); delete it and re-run `mer extract`") from error


def self_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document's canonical JSON, less what it says itself under `self_sha256`."""
    content = {name: value for name, value in document.items() if name != SELF}
    return hashlib.sha256(canonical_json(content).encode("ascii")).hexdigest()


def _build(document: Mapping[str, Any]) -> Sidecar:
    shard = document["shard"]
    if not SHARD_NAME.fullmatch(shard):
        raise ValueError(f"shard name {shard!r}")
    granularities = document["granularities"]
    if granularities != [g for g in GRANULARITIES if g in granularities]:
        raise ValueError(f"granularities {granularities!r}")
    rows = [dict(row) for row in document["utterances"]]
    counts = [row.pop("units") for row in rows]
    units = {g: tuple(_whole(row[g], 1, f"units of {g}") for row in counts) for g in granularities}
    return Sidecar(
        key=_text(document["key"], "key"),
        shard=shard,
        bytes=_whole(document["bytes"], 0, "bytes"),
        sha256=_text(document["sha256"], "sha256"),
        utterances=tuple(UtteranceRecord(**row) for row in rows),
        units=units,
        failed=tuple(FailedUtterance(**row) for row in document["failed"]),
        datasets={name: _dataset(entry) for name, entry in document["datasets"].items()},
        provenance=dict(document["provenance"]),
    )


def _dataset(entry: Mapping[str, Any]) -> Dataset:
    shape = tuple(_whole(size, 0, "shape") for size in entry["shape"])
    offset = entry["offset"]
    dtype = np.dtype(_text(entry["dtype"], "dtype"))
    return Dataset(shape=shape, dtype=dtype.str, offset=None if offset is None else _whole(offset, 0, "offset"))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, expected text")
    return value


def _whole(value: Any, least: int, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}, expected a whole number of at least {least}")
    return value
