"""What makes a cache the cache it is: `spec.json`, its canonical form and its key."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from mer.cache.cache_error import CacheError
from mer.cache.granularity import GRANULARITIES, stream

FORMAT_VERSION = 1
"""Version of the format that this module writes, and the only one it reads."""

KEY_FOLDER = re.compile(r"[0-9a-f]{12}")
"""Names of folders of caches."""

SET_FILE = "set.json"
"""What makes a folder a set of caches (`set_file.py`)."""

STORAGE_DTYPES: tuple[str, ...] = ("float16", "float32")
"""Element types that activations may be stored in."""

Spec = Mapping[str, Any]
"""The JSON object in `spec.json`."""


def canonical_json(document: Mapping[str, Any]) -> str:
    """The one text of a JSON object: keys sorted, no whitespace, ASCII only.

    Raises:
        CacheError: if it holds NaN, infinity, or something that JSON has no form for.
    """
    try:
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CacheError(f"not a JSON object: {error}; use text, finite numbers, booleans, lists and objects") from error


def cache_key(spec: Spec) -> str:
    """The sha256 of the canonical JSON of a spec, in hex; a cache folder is named by its first 12 digits."""
    return hashlib.sha256(canonical_json(spec).encode("ascii")).hexdigest()


def checked_spec(spec: Spec, *, where: str = "spec") -> dict[str, Any]:
    """A spec as it reads back from JSON, its keys that the cache itself uses checked.

    Args:
        spec: made by the extraction.
        where: names the spec in an error; the path of `spec.json` where there is one.

    Raises:
        CacheError: if it is of another format version, or a key that the cache uses is missing or malformed.
    """
    plain: dict[str, Any] = json.loads(canonical_json(spec))
    version = plain.get("format_version")
    if version != FORMAT_VERSION:
        raise CacheError(
            f"{where}: cache format version is {version!r}, this mer reads {FORMAT_VERSION}; "
            "re-run `mer extract` to make a cache of this version"
        )
    corpus = plain.get("corpus")
    if not isinstance(corpus, dict) or not isinstance(corpus.get("name"), str):
        raise CacheError(f'{where}: expected "corpus" with a "name", found {corpus!r}')
    if not _is_folder_name(corpus["name"]):
        raise CacheError(f"{where}: corpus name {corpus['name']!r} cannot name a folder; use letters, digits, `-`, `_` and `.`")
    granularities = plain.get("granularities")
    if not isinstance(granularities, list) or granularities != [g for g in GRANULARITIES if g in granularities]:
        raise CacheError(f'{where}: expected "granularities" out of {list(GRANULARITIES)} in this order, found {granularities!r}')
    if not granularities:
        raise CacheError(f'{where}: "granularities" is empty; a cache holds at least one')
    storage = plain.get("storage")
    if not isinstance(storage, dict) or storage.get("dtype") not in STORAGE_DTYPES:
        raise CacheError(f'{where}: expected "storage" with a "dtype" out of {STORAGE_DTYPES}, found {storage!r}')
    for name in {stream(granularity) for granularity in granularities}:
        _check_stream(plain, name, where)
    return plain


def spec_layers(spec: Spec, granularity: str) -> list[int]:
    """Indices of the encoder layers stored for a granularity, in storage order."""
    layers: list[int] = list(spec["layers"][stream(granularity)])
    return layers


def spec_dim(spec: Spec, granularity: str) -> int:
    """Width of the encoder that a granularity comes from."""
    return int(spec["dim"][stream(granularity)])


def _is_folder_name(name: str) -> bool:
    return bool(name) and name.strip(".") != "" and all(c.isalnum() or c in "-_." for c in name)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_stream(spec: dict[str, Any], name: str, where: str) -> None:
    layers = spec["layers"].get(name) if isinstance(spec.get("layers"), dict) else None
    if not isinstance(layers, list) or not layers or not all(_is_count(layer, 0) for layer in layers):
        raise CacheError(f'{where}: expected "layers" with a list of layer indices for {name!r}, found {layers!r}')
    if len(set(layers)) < len(layers):
        raise CacheError(f'{where}: "layers" of {name!r} names a layer twice: {layers}')
    dim = spec["dim"].get(name) if isinstance(spec.get("dim"), dict) else None
    if not _is_count(dim, 1):
        raise CacheError(f'{where}: expected "dim" with a positive width for {name!r}, found {dim!r}')
