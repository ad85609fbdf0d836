"""Reading a cache."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mer.cache.cache_error import CacheError, UnknownUtteranceError
from mer.cache.encoder_folders import noted_places
from mer.cache.folder import CacheFolder
from mer.cache.packed_units import PackedUnits, Rows, UnitPlace
from mer.cache.plan import read_plan
from mer.cache.records import FailedUtterance, UtteranceRecord
from mer.cache.shard_file import ShardFile
from mer.cache.sidecar import Sidecar
from mer.cache.spec import spec_dim, spec_layers
from mer.cache.utterance_mapping import UtteranceMapping
from mer.cache.utterance_table import UtteranceTable
from mer.cache.verified import VerifiedShards


def open_cache(path: Path | str, *, corpus: str | None = None) -> "FeatureCache":
    """Open a feature cache for reading; shards are checked and mapped when they are first used.

    Args:
        path: the cache's folder, or a root that holds exactly one.
        corpus: consider only caches of this corpus.

    Raises:
        CacheError: if there is no cache or several, it is of another format version, its spec was edited,
            a shard's sidecar is damaged or foreign, or no shard is committed yet.
    """
    return FeatureCache(CacheFolder.find(Path(path), corpus=corpus))


def _reopen(path: Path, key: str, shards: Mapping[str, str]) -> "FeatureCache":
    """Open the same shards of the same cache again.

    Raises:
        CacheError: as `open_cache`, or what is there now is not what was open.
    """
    folder = CacheFolder.find(path)
    if folder.key != key:
        raise CacheError(f"{path}: another cache ({folder.key[:12]}) than the one that was open ({key[:12]}); open it anew")
    return FeatureCache(folder, shards=shards)


class FeatureCache(UtteranceMapping):
    """Activations of a corpus, read-only and without copies."""

    def __init__(self, folder: CacheFolder, *, shards: Mapping[str, str] | None = None) -> None:
        """Use `open_cache`.

        Args:
            folder: of the cache.
            shards: name and sha256 of those to read, as another process has opened them; None reads all.

        Raises:
            CacheError: as `open_cache`, or one of `shards` is gone or was made anew.
        """
        self.folder = folder
        self.spec: dict[str, Any] = folder.spec
        self.key = folder.key
        self.granularities: tuple[str, ...] = tuple(self.spec["granularities"])
        sidecars = folder.sidecars()
        if folder.torn:
            raise CacheError(next(iter(folder.torn.values())))
        if not sidecars:
            raise CacheError(f"{folder.path}: no shard is committed yet; run `mer extract`, which continues where it stopped")
        if shards is not None:
            for name, digest in shards.items():
                if name not in sidecars or sidecars[name].sha256 != digest:
                    raise CacheError(
                        f"{folder.path}: shard {name} was made anew, or is gone, since this cache was opened; open it anew"
                    )
            sidecars = {name: sidecars[name] for name in shards}
        self._verified = VerifiedShards(folder.path)
        self._shards = [
            ShardFile(folder.shard_path(name), sidecar, self.spec, self._verified) for name, sidecar in sidecars.items()
        ]
        self._mapped: list[int] = []
        self._most_mapped = _descriptors_to_use()
        records: dict[str, UtteranceRecord] = {}
        places: dict[str, tuple[int, int]] = {}
        for number, sidecar in enumerate(sidecars.values()):
            for row, record in enumerate(sidecar.utterances):
                if record.id not in records:
                    records[record.id] = record
                    places[record.id] = (number, row)
        self.utterances = UtteranceTable.of(records.values())
        self._rows = [places[utterance_id] for utterance_id in self.utterances.ids]
        failed = {f.id: f for sidecar in sidecars.values() for f in sidecar.failed if f.id not in records}
        self.failed: tuple[FailedUtterance, ...] = tuple(failed[i] for i in sorted(failed))
        self._accounted = {utterance_id for sidecar in sidecars.values() for utterance_id in sidecar.ids}
        self._starts = [_starts(sidecar) for sidecar in sidecars.values()]

    @property
    def synthetic(self) -> bool:
        """True when the speech was made by `mer synth`; to be said beside every result."""
        return bool(self.spec["corpus"].get("synthetic", False))

    @property
    def path(self) -> Path:
        """Folder of the cache."""
        return self.folder.path

    @property
    def encoder_folders(self) -> dict[str, Path]:
        """Where its encoders are, `speech` and `text`, as far as they were folders and are still there."""
        return noted_places(self.path, self.provenances)

    def reopening(self) -> Callable[[], "FeatureCache"]:
        """A call that opens the same shards again, in whichever process it is made."""
        shards = {shard.sidecar.shard: shard.sidecar.sha256 for shard in self._shards}
        return partial(_reopen, self.path.absolute(), self.key, shards)

    def holder(self, granularity: str) -> tuple["FeatureCache", str]:
        """The cache itself, and the granularity as it is: what `CacheSet.holder` is to a set."""
        self._check_granularity(granularity)
        return self, granularity

    @property
    def unfinished(self) -> int:
        """Utterances that are planned but not extracted yet; `mer extract` continues with them."""
        planned = read_plan(self.folder, without={shard.sidecar.shard for shard in self._shards})
        return sum(len(set(ids) - self._accounted) for ids in planned.values())

    @property
    def sidecars(self) -> list[Sidecar]:
        """What each shard holds, and who made it."""
        return [shard.sidecar for shard in self._shards]

    @property
    def provenances(self) -> list[Mapping[str, Any]]:
        """What each shard's sidecar records of who made it."""
        return [shard.sidecar.provenance for shard in self._shards]

    def layers(self, granularity: str) -> list[int]:
        """Indices of the stored encoder layers."""
        self._check_granularity(granularity)
        return spec_layers(self.spec, granularity)

    def dim(self, granularity: str) -> int:
        """Width of the encoder."""
        self._check_granularity(granularity)
        return spec_dim(self.spec, granularity)

    def read(self, utterance_id: str, granularity: str) -> np.ndarray:
        """Activations (units, layers, dim) of one utterance: a read-only view of the file.

        Raises:
            UnknownUtteranceError: if the cache does not hold the utterance.
            CacheError: if it does not hold the granularity, or the shard is missing or altered.
        """
        return self._slice(utterance_id, granularity, "data")

    def spans(self, utterance_id: str, granularity: str) -> Float[np.ndarray, "units 2"]:
        """Start and end of each unit in seconds.

        Raises:
            UnknownUtteranceError: if the cache does not hold the utterance.
            CacheError: if it holds no times for the granularity (F and T may have none).
        """
        return self._slice(utterance_id, granularity, "span")

    def labels(self, utterance_id: str, granularity: str) -> tuple[str, ...]:
        """Name of each unit.

        Raises:
            UnknownUtteranceError: if the cache does not hold the utterance.
            CacheError: if it holds no names for the granularity (F and T may have none).
        """
        return tuple(label.decode("utf-8") for label in self._slice(utterance_id, granularity, "label").tolist())

    def packed(self, granularity: str, indices: Rows | None = None) -> PackedUnits:
        """Many utterances at once.

        Args:
            granularity: one that the cache holds.
            indices: rows of `utterances` in the order wanted; all by default.
        """
        self._check_granularity(granularity)
        chosen = range(len(self._rows)) if indices is None else [int(index) for index in indices]
        places = [self._place(index, granularity) for index in chosen]
        shape = (len(spec_layers(self.spec, granularity)), spec_dim(self.spec, granularity))
        return PackedUnits(granularity, places, self._shard, shape, np.dtype(self.spec["storage"]["dtype"]))

    def check(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Check all shards now, not one by one when they are first used; fast when it was done before.

        Args:
            progress: called with bytes done and bytes in all.

        Raises:
            CacheError: naming the first shard that is missing or altered.
        """
        total = sum(shard.sidecar.bytes for shard in self._shards)
        done = 0
        for number in range(len(self._shards)):
            self._shard(number).check()
            done += self._shards[number].sidecar.bytes
            if progress is not None:
                progress(done, total)
        self._verified.save()

    def _shard(self, number: int) -> ShardFile:
        shard = self._shards[number]
        if not shard.is_mapped:
            self._mapped = [other for other in self._mapped if self._shards[other].is_mapped]
            while len(self._mapped) >= self._most_mapped:
                self._shards[self._mapped.pop(0)].close()
            self._mapped.append(number)
        return shard

    def _place(self, index: int, granularity: str) -> UnitPlace:
        number, row = self._rows[index]
        starts = self._starts[number][granularity]
        return number, int(starts[row]), int(starts[row + 1])

    def _slice(self, utterance_id: str, granularity: str, noun: str) -> np.ndarray:
        self._check_granularity(granularity)
        number, start, stop = self._place(self._index(utterance_id), granularity)
        shard = self._shard(number)
        name = f"{granularity}/{noun}"
        if name not in shard.sidecar.datasets:
            raise CacheError(f"{self.folder.path}: granularity {granularity} has no {noun}; only P, S and W always have one")
        try:
            return shard.array(name)[start:stop]
        except CacheError as error:
            raise CacheError(f"utterance {utterance_id!r}: {error}") from error

    def _index(self, utterance_id: str) -> int:
        try:
            return super()._index(utterance_id)
        except UnknownUtteranceError:
            reason = next((f.reason for f in self.failed if f.id == utterance_id), None)
            if reason is None:
                raise
            raise UnknownUtteranceError(
                f"utterance {utterance_id!r} has no activations in {self.folder.path}: extraction "
                f"failed ({reason}); "
                "correct the input and re-run `mer extract`"
            ) from None

    def _check_granularity(self, granularity: str) -> None:
        if granularity not in self.granularities:
            held = "+".join(self.granularities)
            raise CacheError(
                f"{self.folder.path}: granularity {granularity!r} is not in this cache, which holds {held}; "
                f"`mer extract --granularity {held}+{granularity}` makes a cache that has it"
            )


def _starts(sidecar: Sidecar) -> dict[str, np.ndarray]:
    return {g: np.cumsum([0, *counts], dtype=np.int64) for g, counts in sidecar.units.items()}


def _descriptors_to_use() -> int:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 1024
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if soft == resource.RLIM_INFINITY else max(16, min(1024, soft // 4))
