import hashlib
import math
from collections.abc import Callable
from typing import Any

import pytest

from mer.cache import CacheError, cache_key
from mer.cache.spec import checked_spec

MakeSpec = Callable[..., dict[str, Any]]


def test_the_key_is_the_sha256_of_sorted_json_without_whitespace() -> None:
    text = b'{"a":[1,2.5],"b":{"c":null,"d":"\\u00e9"}}'
    assert cache_key({"b": {"d": "é", "c": None}, "a": [1, 2.5]}) == hashlib.sha256(text).hexdigest()


def test_a_tuple_and_a_list_give_one_key() -> None:
    assert cache_key({"layers": (1, 2)}) == cache_key({"layers": [1, 2]})


@pytest.mark.parametrize("value", [math.nan, math.inf, b"bytes", {1, 2}])
def test_what_json_cannot_hold_has_no_key(value: object) -> None:
    with pytest.raises(CacheError, match="not a JSON object"):
        cache_key({"x": value})


def test_another_format_version_is_refused_with_the_way_out(spec: MakeSpec) -> None:
    with pytest.raises(CacheError, match=r"format version is 2, this mer reads 1; re-run `mer extract`"):
        checked_spec(spec() | {"format_version": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus": {}}, '"corpus" with a "name"'),
        ({"corpus": {"name": "../up"}}, r"'\.\./up' cannot name a folder"),
        ({"corpus": {"name": ".."}}, r"'\.\.' cannot name a folder"),
        ({"granularities": ["S", "F"]}, "in this order"),
        ({"granularities": ["F", "Q"]}, "in this order"),
        ({"granularities": []}, "at least one"),
        ({"granularities": "F"}, "in this order"),
        ({"storage": {"dtype": "bfloat16"}}, "'bfloat16'"),
        ({"layers": {"speech": [1, 2]}}, "'text', found None"),
        ({"layers": {"speech": [1, 1], "text": [1]}}, "a layer twice"),
        ({"layers": {"speech": [True], "text": [1]}}, "layer indices"),
        ({"dim": {"speech": 0, "text": 5}}, "positive width for 'speech', found 0"),
        ({"dim": None}, "positive width"),
    ],
)
def test_a_malformed_key_is_named(spec: MakeSpec, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CacheError, match=message):
        checked_spec(spec() | change)


def test_a_stream_that_no_granularity_uses_may_be_absent(spec: MakeSpec) -> None:
    only = spec("FS") | {"layers": {"speech": [1]}, "dim": {"speech": 4}, "text": None}
    assert checked_spec(only)["layers"] == {"speech": [1]}
