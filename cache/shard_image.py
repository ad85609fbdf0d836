"""A shard in memory: HDF5 structure around the arrays as the extraction made them."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from mer.cache.cache_error import CacheError
from mer.cache.granularity import SEGMENT_GRANULARITIES
from mer.cache.layout import Dataset, check_datasets, expected_datasets
from mer.cache.records import (
    FAILED_FIELDS,
    OPTIONAL_FIELDS,
    STRING_FIELDS,
    FailedUtterance,
    Units,
    UtteranceRecord,
    check_text,
)
from mer.cache.skeleton import build_skeleton
from mer.cache.spec import FORMAT_VERSION, cache_key, checked_spec, spec_dim, spec_layers

_SMALL = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BuiltShard:
    """The content of one shard file, not yet on disk.

    The arrays are those handed to `build_shard`, not copies: leave them unchanged until the commit.
    """

    key: str
    """Full key of the cache that it was built for."""
    bytes: int
    """Size of the file."""
    utterances: tuple[UtteranceRecord, ...]
    """In storage order."""
    units: Mapping[str, tuple[int, ...]]
    """Per granularity, the units of each utterance."""
    failed: tuple[FailedUtterance, ...]
    """Utterances without activations."""
    datasets: Mapping[str, Dataset]
    """Every dataset by name."""
    pieces: Sequence[tuple[int, memoryview]] = field(repr=False)
    """Disjoint stretches of the file by offset; what lies between them is zero."""

    def blocks(self) -> Iterator[memoryview]:
        """The file from its first byte to its last, small stretches joined."""
        position = 0
        small = bytearray()
        for offset, content in (*self.pieces, (self.bytes, memoryview(b""))):
            small += bytes(offset - position)
            position = offset + len(content)
            if len(content) < _SMALL:
                small += content
                continue
            yield memoryview(small)
            yield content
            small = bytearray()
        yield memoryview(small)

    @property
    def sha256(self) -> str:
        """Hex digest of the file."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()


def to_storage(array: Float[np.ndarray, "units layers dim"], dtype: str) -> tuple[Float[np.ndarray, "units layers dim"], int]:
    """Convert activations to the type that a cache stores, and count what does not survive.

    Args:
        array: activations of one utterance; not copied when it already has the type.
        dtype: `float16` or `float32`, from `spec["storage"]["dtype"]`.

    Returns:
        The converted array, and how many of its elements are infinite or not a number: beyond
        65,504 in float16, or so already in the input.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        stored = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return stored, count_unusable(stored)


def count_unusable(stored: np.ndarray) -> int:
    """How many elements of a float16 or float32 array are infinite or not a number."""
    if not stored.size:
        return 0
    bits, infinity = (16, 0x7C00) if stored.dtype.itemsize == 2 else (32, 0x7F800000)
    # As integers the unusable values are the largest of each sign; two scans need no temporary.
    sign = 1 << (bits - 1)
    if stored.view(f"<i{bits // 8}").max() < infinity and stored.view(f"<u{bits // 8}").max() < infinity + sign:
        return 0
    return int(stored.size - np.count_nonzero(np.isfinite(stored)))


def build_shard(
    spec: Mapping[str, Any],
    utterances: Sequence[tuple[UtteranceRecord, Mapping[str, Units]]],
    failed: Sequence[FailedUtterance],
) -> BuiltShard:
    """Lay out one shard of a cache; the same arguments give the same bytes.

    Args:
        spec: the cache's.
        utterances: in storage order, each with every granularity of the spec; arrays that already have
            the storage type are not copied.
        failed: utterances of the shard without activations.

    Raises:
        CacheError: if a granularity is missing, an array has another shape than the spec says, an id occurs
            twice, or a value is infinite or not a number after the conversion (named with a count).
    """
    spec = checked_spec(spec)
    records = tuple(record for record, _ in utterances)
    ids = [record.id for record in records] + [record.id for record in failed]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise CacheError(f"utterance {twice!r} occurs twice in one shard; every id must be planned once")
    contents: dict[str, list[np.ndarray]] = {}
    units: dict[str, tuple[int, ...]] = {}
    for granularity in spec["granularities"]:
        given = [(record.id, _units(record.id, content, granularity)) for record, content in utterances]
        units[granularity] = tuple(one.data.shape[0] for _, one in given)
        contents |= _granularity_datasets(spec, granularity, given)
    for name in STRING_FIELDS:
        texts = [getattr(record, name) for record in records]
        if name not in OPTIONAL_FIELDS or any(texts):
            contents[f"utterance/{name}"] = [_texts(texts)]
    contents["utterance/seconds"] = [np.array([r.seconds for r in records], "<f8")]
    contents |= {f"failed/{name}": [_texts([getattr(f, name) for f in failed])] for name in FAILED_FIELDS}
    key = cache_key(spec)
    shapes = {name: _joined(spec, name, arrays) for name, arrays in contents.items()}
    attributes: dict[str, bytes | int] = {
        "format_version": FORMAT_VERSION,
        "key": key.encode("ascii"),
        "writer": b"mer.cache",
    }
    datasets, structure, size = build_skeleton(shapes, attributes)
    check_datasets(datasets, expected_datasets(spec, units, len(records), len(failed)), "built shard")
    return BuiltShard(
        key=key,
        bytes=size,
        utterances=records,
        units=units,
        failed=tuple(failed),
        datasets=datasets,
        pieces=_pieces(contents, datasets, structure),
    )


def _units(utterance_id: str, content: Mapping[str, Units], granularity: str) -> Units:
    if granularity not in content:
        raise CacheError(
            f"utterance {utterance_id!r} has no granularity {granularity}, which the spec of this "
            "cache names; "
            f"it has {sorted(content)}"
        )
    return content[granularity]


def _granularity_datasets(
    spec: Mapping[str, Any], granularity: str, given: Sequence[tuple[str, Units]]
) -> dict[str, list[np.ndarray]]:
    shape = (len(spec_layers(spec, granularity)), spec_dim(spec, granularity))
    data = [_checked_data(utterance_id, granularity, one, shape, spec) for utterance_id, one in given]
    offsets = np.cumsum([0, *(len(array) for array in data)], dtype="<i8")
    found: dict[str, list[np.ndarray]] = {f"{granularity}/data": data, f"{granularity}/offsets": [offsets]}
    segment = granularity in SEGMENT_GRANULARITIES
    for name, values in (("span", [u.span for _, u in given]), ("label", [u.labels for _, u in given])):
        absent = [utterance_id for (utterance_id, _), value in zip(given, values, strict=True) if value is None]
        if absent and (segment or len(absent) < len(given)):
            raise CacheError(
                f"utterance {absent[0]!r}: units of granularity {granularity} have no {name}; "
                "P, S and W need it for every utterance, F and T for all utterances or none"
            )
        if absent or not (given or segment):
            continue
        if name == "span":
            spans = [_checked_span(utterance_id, granularity, one) for utterance_id, one in given]
            found[f"{granularity}/span"] = spans
        else:
            labels = [label for utterance_id, one in given for label in _checked_labels(utterance_id, granularity, one)]
            found[f"{granularity}/label"] = [_texts(labels)]
    return found


def _checked_data(utterance_id: str, granularity: str, one: Units, shape: tuple[int, int], spec: Mapping[str, Any]) -> np.ndarray:
    if one.data.ndim != 3 or one.data.shape[1:] != shape or not len(one.data):
        raise CacheError(
            f"utterance {utterance_id!r}: granularity {granularity} has shape {one.data.shape}, expected "
            f"(units, layers, dim) = (at least 1, {shape[0]}, {shape[1]})"
        )
    stored, unusable = to_storage(one.data, spec["storage"]["dtype"])
    if unusable:
        raise CacheError(
            f"utterance {utterance_id!r}: {unusable} of {stored.size} values of granularity "
            f"{granularity} are "
            f"infinite or not a number as {spec['storage']['dtype']}; "
            "record the utterance as failed, or extract with `--storage float32`"
        )
    return stored


def _checked_span(utterance_id: str, granularity: str, one: Units) -> np.ndarray:
    span = np.ascontiguousarray(one.span, dtype="<f8")
    if span.shape != (len(one.data), 2) or not np.isfinite(span).all() or (span[:, 0] > span[:, 1]).any():
        raise CacheError(
            f"utterance {utterance_id!r}: the span of granularity {granularity} has shape "
            f"{span.shape}, expected "
            f"{(len(one.data), 2)} with finite seconds, start before end"
        )
    return span


def _checked_labels(utterance_id: str, granularity: str, one: Units) -> tuple[str, ...]:
    labels = one.labels or ()
    if len(labels) != len(one.data):
        raise CacheError(
            f"utterance {utterance_id!r}: {len(labels)} labels for {len(one.data)} units of granularity {granularity}"
        )
    for label in labels:
        check_text(label, f"utterance {utterance_id!r}: a label of granularity {granularity}")
    return labels


def _texts(values: Sequence[str]) -> np.ndarray:
    encoded = [value.encode("utf-8") for value in values]
    return np.array(encoded, dtype=f"S{max(map(len, encoded), default=0) or 1}")


def _joined(spec: Mapping[str, Any], name: str, arrays: Sequence[np.ndarray]) -> tuple[tuple[int, ...], np.dtype]:
    granularity, _, noun = name.partition("/")
    if arrays:
        first = arrays[0]
        return (sum(len(array) for array in arrays), *first.shape[1:]), first.dtype
    if noun == "span":
        return (0, 2), np.dtype("<f8")
    shape = (0, len(spec_layers(spec, granularity)), spec_dim(spec, granularity))
    return shape, np.dtype(spec["storage"]["dtype"]).newbyteorder("<")


def _pieces(
    contents: Mapping[str, Sequence[np.ndarray]],
    datasets: Mapping[str, Dataset],
    structure: Sequence[tuple[int, bytes]],
) -> list[tuple[int, memoryview]]:
    pieces = [(offset, memoryview(content)) for offset, content in structure]
    for name, arrays in contents.items():
        position = datasets[name].offset
        for array in arrays:
            if array.nbytes and position is not None:
                pieces.append((position, array.reshape(-1).view("u1").data))
                position += array.nbytes
    pieces.sort(key=lambda piece: piece[0])
    for (offset, content), (following, _) in itertools.pairwise(pieces):
        if offset + len(content) > following:
            raise CacheError(f"HDF5 placed two objects at byte {following}; this h5py cannot write a cache")
    return pieces
