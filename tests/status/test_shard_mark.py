import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.cache import Sidecar
from mer.status import shard_mark
from mer.status.shard_mark import read_mark

NAMES = st.sampled_from(
    ["seconds", "reason", "a", "é/ ", '\n   "seconds": 9.5,', '\n "utterances": [', '",\n "self_sha256": ', "\\n", "failed"]
)


@given(ids=st.lists(NAMES, min_size=1, unique=True), failed=st.lists(NAMES, unique=True), host=NAMES)
def test_a_skimmed_sidecar_says_what_a_read_one_says(
    make_sidecar: Callable[..., Sidecar], ids: list[str], failed: list[str], host: str
) -> None:
    notes = {"host": host, "process": 7, "started": 1.5, "finished": 2, "conversions": {"seconds": 4, "to mono": 1}}
    text = make_sidecar(ids=tuple(ids), failed=tuple(failed), **notes).to_json().encode()
    mark = read_mark(text)
    assert mark is not None
    assert (mark.utterances, mark.seconds, mark.failed) == (len(ids), 2.5 * len(ids), len(failed))
    assert (mark.host, mark.process, mark.started, mark.finished) == (host, 7, 1.5, 2.0)
    assert mark == shard_mark._skim(text) == shard_mark._read(text)


def test_a_sidecar_of_another_layout_is_read_whole(make_sidecar: Callable[..., Sidecar]) -> None:
    text = json.dumps(json.loads(make_sidecar(host="there").to_json())).encode()
    assert shard_mark._skim(text) is None
    mark = read_mark(text)
    assert mark is not None
    assert (mark.host, mark.seconds) == ("there", 2.5)


@pytest.mark.parametrize("left", [0, 1, 300, -2, -4])
def test_a_torn_sidecar_is_none(make_sidecar: Callable[..., Sidecar], left: int) -> None:
    assert read_mark(make_sidecar().to_json().encode()[:left]) is None


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[]", b"{}", b"null", b"\n}\n"])
def test_what_is_no_sidecar_is_none(text: bytes) -> None:
    assert read_mark(text) is None


def test_old_sidecars_do_not_say_who_made_them(make_sidecar: Callable[..., Any]) -> None:
    mark = read_mark(make_sidecar().to_json().encode())
    assert mark is not None
    assert (mark.host, mark.process, mark.started, mark.finished) == ("", 0, None, None)
