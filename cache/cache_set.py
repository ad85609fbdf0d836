"""Several caches of one corpus, each of other encoders, read as one.

A set is a folder beside its caches that holds nothing but their keys and identities: `<root>/<corpus>/<key12>/set.json`. Every
cache in it is one of its own, with the key and the bytes that it has without the set.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mer.cache.cache_error import CacheError, refusals_named
from mer.cache.feature_cache import FeatureCache
from mer.cache.folder import CacheFolder, candidates
from mer.cache.granularity import in_order, stream, unit_of
from mer.cache.packed_units import PackedUnits, Rows
from mer.cache.records import FailedUtterance
from mer.cache.set_file import member_places, read_set, set_folders
from mer.cache.spec import SET_FILE, Spec, cache_key
from mer.cache.utterance_mapping import UtteranceMapping
from mer.cache.utterance_table import UtteranceTable
from mer.files import Disk, make_folder, write_atomically

COMMON = ("format_version", "corpus", "compute", "storage", "segments")
"""What is one thing in all caches of a set."""


def set_spec(members: Sequence[tuple[Spec, Mapping[str, str]]]) -> dict[str, Any]:
    """What a set is made of, in the shape of a cache's spec; every encoder has its own entries.

    Args:
        members: the spec of each cache with the names of its encoders, `{"speech": "wavlm", "text": "roberta"}`.

    Raises:
        CacheError: no two caches, or caches that do not belong together.
    """
    if len(members) < 2:
        raise CacheError(f"a set has two caches or more, got {len(members)}")
    common = {name: spec[name] for spec, _ in reversed(members) for name in COMMON if name in spec}
    found: dict[str, Any] = common | {"granularities": [], "layers": {}, "dim": {}, "caches": {}}
    for spec, names in members:
        if differing := [name for name in COMMON if name in spec and spec[name] != common[name]]:
            raise CacheError(f"caches of one set differ in {', '.join(differing)}")
        for granularity in spec["granularities"]:
            of = stream(granularity)
            named = f"{of}@{names[of]}"
            if found["caches"].get(named, cache_key(spec)) != cache_key(spec):
                raise CacheError(f"two caches of one set call an encoder {names[of]!r}")
            found["granularities"].append(f"{granularity}@{names[of]}")
            found["layers"][named], found["dim"][named] = spec["layers"][of], spec["dim"][of]
            found[named], found["caches"][named] = spec.get(of), cache_key(spec)
    found["granularities"] = list(in_order(found["granularities"]))
    return found


def write_set(root: Path, spec: Spec) -> Path:
    """Write a set beside its caches; one that is there already is the same, since its folder is named by what is in it.

    Args:
        root: of the caches.
        spec: of `set_spec`.

    Returns:
        Its folder.
    """
    folder = root / str(spec["corpus"]["name"]) / cache_key(spec)[:12]
    text = json.dumps(spec, sort_keys=True, indent=1, allow_nan=False) + "\n"
    with refusals_named():
        make_folder(folder)
        write_atomically(folder / SET_FILE, [memoryview(text.encode("ascii"))], temporaries=folder, disk=Disk())
    return folder


def open_features(path: Path | str) -> "FeatureCache | CacheSet":
    """Open a cache or a set of caches for reading.

    Args:
        path: its folder, or a root that holds exactly one; caches that belong to a set are not counted beside it.

    Raises:
        CacheError: as `open_cache` does; several to choose from; or a set that lacks a cache.
    """
    found = _only(Path(path))
    return open_set(found) if (found / SET_FILE).is_file() else FeatureCache(CacheFolder.find(found))


def caches_at(path: Path) -> list[CacheFolder]:
    """The one cache at a place, or those of the one set there; raises CacheError as `open_features` does."""
    found = _only(path)
    return member_folders(found) if (found / SET_FILE).is_file() else [CacheFolder.find(found)]


def _only(place: Path) -> Path:
    """The folder of the only set there, or what `CacheFolder.find` is to look at."""
    sets = set_folders(place)
    if not sets:
        return place
    caches = [] if (place / SET_FILE).is_file() else candidates(place)
    keys = {each.name for folder in sets for each in member_places(folder)}
    free = [folder for folder in caches if folder.resolve().name not in keys]
    if len(sets) == 1 and not free:
        return sets[0]
    lines = [*(f"  {folder}  {'+'.join(read_set(folder)['granularities'])}" for folder in sets), *(f"  {each}" for each in free)]
    several = f"{place} holds {len(lines)} caches and sets of caches; pass the folder of the one to use:"
    raise CacheError("\n".join([several, *lines]))


def member_folders(folder: Path) -> list[CacheFolder]:
    """The caches of a set, each once.

    Raises:
        CacheError: one of them is not there.
    """
    found = []
    for place in member_places(folder.resolve()):
        if not (place / "spec.json").is_file():
            raise CacheError(f"{folder}: its cache {place} is not there; put it back, or give the `mer extract` command again")
        found.append(CacheFolder.find(place))
    return found


def open_set(folder: Path) -> "CacheSet":
    """Open a set for reading; raises CacheError as `open_features` does."""
    return CacheSet(folder, read_set(folder), {each.key: FeatureCache(each) for each in member_folders(folder)})


def _reopen(folder: Path, caches: Mapping[str, Callable[[], FeatureCache]]) -> "CacheSet":
    """Open the same caches of a set again; raises CacheError as they do."""
    return CacheSet(folder, read_set(folder), {key: opens() for key, opens in caches.items()})


class CacheSet(UtteranceMapping):
    """Several caches of one corpus as one: the utterances that all of them hold, and `F@wavlm` for each encoder's units."""

    def __init__(self, path: Path, spec: Spec, caches: Mapping[str, FeatureCache]) -> None:
        """Use `open_set`.

        Args:
            path: folder of the set.
            spec: of `set_spec`.
            caches: by key.

        Raises:
            CacheError: caches that hold no utterance in common, or were made from other recordings, texts or labels.
        """
        self._path, self.spec, self.key = path, dict(spec), cache_key(spec)
        self.granularities: tuple[str, ...] = tuple(spec["granularities"])
        self.caches = tuple(caches.values())
        self._holders = {name: caches[spec["caches"][stream(name)]] for name in self.granularities}
        first, *others = self.caches
        _check_inputs(path, self.caches)
        shared = set(first.utterances.ids).intersection(*(each.utterances.ids for each in others))
        if not shared:
            raise CacheError(f"{path}: its caches have no utterance in common; give the `mer extract` command that made it again")
        self.utterances: UtteranceTable = first.utterances.only([each in shared for each in first.utterances.ids])
        self._rows = {each.key: [each.utterances.index(name) for name in self.utterances.ids] for each in self.caches}
        failed = {one.id: one for each in reversed(self.caches) for one in each.failed}
        self.failed: tuple[FailedUtterance, ...] = tuple(failed[name] for name in sorted(failed))

    @property
    def path(self) -> Path:
        """Folder of the set."""
        return self._path

    def reopening(self) -> Callable[[], "CacheSet"]:
        """A call that opens the same caches again, in whichever process it is made."""
        return partial(_reopen, self.path.absolute(), {each.key: each.reopening() for each in self.caches})

    @property
    def synthetic(self) -> bool:
        """True when the speech was made by `mer synth`."""
        return self.caches[0].synthetic

    @property
    def unfinished(self) -> int:
        """Utterances that are planned but not extracted yet by the encoder that is furthest behind."""
        return max(each.unfinished for each in self.caches)

    @property
    def encoder_folders(self) -> dict[str, Path]:
        """Where its encoders are, by names such as `speech@wavlm`, as far as they were folders and are still there."""
        streams = {stream(name): cache.encoder_folders for name, cache in self._holders.items()}
        return {name: places[kind] for name, places in streams.items() if (kind := name.partition("@")[0]) in places}

    def holder(self, granularity: str) -> tuple[FeatureCache, str]:
        """The cache that holds a granularity, and how it is called there.

        Raises:
            CacheError: the set does not hold it.
        """
        if granularity not in self._holders:
            held = "+".join(self.granularities)
            raise CacheError(f"{self.path}: granularity {granularity!r} is not in this set, which holds {held}")
        return self._holders[granularity], unit_of(granularity)

    def layers(self, granularity: str) -> list[int]:
        """Indices of the stored encoder layers."""
        cache, unit = self.holder(granularity)
        return cache.layers(unit)

    def dim(self, granularity: str) -> int:
        """Width of the encoder."""
        cache, unit = self.holder(granularity)
        return cache.dim(unit)

    def read(self, utterance_id: str, granularity: str) -> np.ndarray:
        """Activations (units, layers, dim) of one utterance; raises as `FeatureCache.read`."""
        cache, unit = self.holder(granularity)
        return cache.read(utterance_id, unit)

    def spans(self, utterance_id: str, granularity: str) -> Float[np.ndarray, "units 2"]:
        """Start and end of each unit in seconds; raises as `FeatureCache.spans`."""
        cache, unit = self.holder(granularity)
        return cache.spans(utterance_id, unit)

    def labels(self, utterance_id: str, granularity: str) -> tuple[str, ...]:
        """Name of each unit; raises as `FeatureCache.labels`."""
        cache, unit = self.holder(granularity)
        return cache.labels(utterance_id, unit)

    def packed(self, granularity: str, indices: Rows | None = None) -> PackedUnits:
        """Many utterances at once.

        Args:
            granularity: one that the set holds.
            indices: rows of `utterances` in the order wanted; all by default.
        """
        cache, unit = self.holder(granularity)
        rows = self._rows[cache.key]
        return cache.packed(unit, rows if indices is None else [rows[int(index)] for index in indices])

    def check(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Check all shards of all caches now; raises CacheError as `FeatureCache.check`."""
        sizes = [sum(sidecar.bytes for sidecar in each.sidecars) for each in self.caches]
        for number, each in enumerate(self.caches):
            told = None if progress is None else partial(_tell, progress, sum(sizes[:number]), sum(sizes))
            each.check(told)


def _tell(progress: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def _check_inputs(path: Path, caches: Sequence[FeatureCache]) -> None:
    """Every utterance has to be made from the same recording, text and labels everywhere."""
    marks: dict[str, str] = {}
    for cache in caches:
        found = {record.id: record.fingerprint for sidecar in reversed(cache.sidecars) for record in sidecar.utterances}
        other = [name for name, mark in found.items() if marks.setdefault(name, mark) != mark]
        if other:
            raise CacheError(
                f"{path}: {len(other):,} utterances, first {other[0]}, were extracted from other recordings, texts or labels in "
                f"{cache.folder.path} than in {caches[0].folder.path}; give the `mer extract` command that made the set again"
            )
