import json
import random
from collections.abc import Callable

import pytest

from mer.cache import CacheError, CacheFolder
from mer.cache.sidecar import Sidecar, parse_sidecar


def as_plain(sidecar: Sidecar) -> object:
    return json.loads(sidecar.to_json())


def test_a_sidecar_reads_back_as_it_was(small_cache: CacheFolder) -> None:
    text = small_cache.sidecar_path("session1-000").read_text("utf-8")
    sidecar = parse_sidecar(text, where="here")
    assert sidecar.to_json() == text
    assert sidecar.ids == ("b", "a", "bad")
    assert sidecar.units == {"F": (3, 1), "S": (2, 2), "T": (4, 4)}
    assert sidecar.fingerprints == {"b": "0" * 64, "a": "0" * 64, "bad": "1" * 64}
    assert sidecar.provenance == {"host": "test"}
    assert sidecar.datasets["F/data"].shape == (4, 2, 4)


def test_no_flipped_bit_of_a_sidecar_changes_what_is_read(small_cache: CacheFolder) -> None:
    path = small_cache.sidecar_path("session1-000")
    original = path.read_bytes()
    expected = as_plain(parse_sidecar(original.decode(), where="here"))
    draw = random.Random(0)
    refused = 0
    for _ in range(400):
        content = bytearray(original)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        try:
            found = parse_sidecar(content.decode("utf-8"), where="here")
        except (CacheError, UnicodeDecodeError):
            refused += 1
        else:
            assert as_plain(found) == expected
    assert refused > 300


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format_version": 1}', "[" * 100_000, '"\\ud800"'])
def test_other_json_is_refused_with_its_path(text: str) -> None:
    with pytest.raises(CacheError, match=r"shards/x\.json: .*re-run `mer extract`"):
        parse_sidecar(text, where="shards/x.json")


def test_another_version_is_named(small_cache: CacheFolder) -> None:
    document = json.loads(small_cache.sidecar_path("session1-000").read_text("utf-8"))
    with pytest.raises(CacheError, match="version 2, this mer reads 1"):
        parse_sidecar(json.dumps(document | {"format_version": 2}), where="here")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shard", "../../x"),
        ("bytes", -1),
        ("bytes", True),
        ("granularities", ["T", "F"]),
        ("utterances", [{"id": "a"}]),
        ("failed", [{"id": "", "reason": "", "fingerprint": ""}]),
        ("datasets", {"F/data": {"shape": [-1], "dtype": "<f2", "offset": 0}}),
        ("datasets", {"F/data": {"shape": [1], "dtype": "no type", "offset": 0}}),
        ("datasets", 3),
        ("sha256", None),
    ],
)
def test_a_forged_sidecar_is_refused(
    small_cache: CacheFolder, forge: Callable[[dict[str, object]], str], key: str, value: object
) -> None:
    document = json.loads(small_cache.sidecar_path("session1-000").read_text("utf-8"))
    parse_sidecar(forge(document), where="here")
    with pytest.raises(CacheError, match="here: malformed sidecar"):
        parse_sidecar(forge(document | {key: value}), where="here")
