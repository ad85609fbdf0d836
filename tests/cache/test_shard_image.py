import io
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pytest

from mer.cache import CacheError, FailedUtterance, Units, UtteranceRecord, build_shard, to_storage

MakeSpec = Callable[..., dict[str, Any]]
MakeUtterance = Callable[..., tuple[UtteranceRecord, dict[str, Units]]]
FAILED = FailedUtterance(id="bad", reason="empty wav: é", fingerprint="1" * 64)


def image(spec: dict[str, Any], utterances: list[Any], failed: tuple[FailedUtterance, ...] = ()) -> bytes:
    return b"".join(build_shard(spec, utterances, failed).blocks())


def opened(content: bytes) -> Any:
    """The file as any HDF5 reader sees it; its items may be groups, datasets or types, so no type is given."""
    return h5py.File(io.BytesIO(content), "r")


def test_any_hdf5_reader_finds_every_array(spec: MakeSpec, utterance: MakeUtterance) -> None:
    first, second = (
        utterance("a", {"F": 3, "P": 1, "T": 2}),
        utterance("é/ ", {"F": 1, "P": 4, "T": 1}, seed=1),
    )
    built = build_shard(spec("FPT"), [first, second], [FAILED])
    content = b"".join(built.blocks())
    assert len(content) == built.bytes
    with opened(content) as file:
        for granularity in "FPT":
            both = [one[1][granularity] for one in (first, second)]
            expected = np.concatenate([units.data for units in both])
            np.testing.assert_array_equal(file[f"{granularity}/data"][:], expected, strict=True)
            lengths = [len(units.data) for units in both]
            np.testing.assert_array_equal(file[f"{granularity}/offsets"][:], [0, lengths[0], sum(lengths)])
        assert file["P/label"][:].tolist() == [b"u0", b"u0", b"u1", b"u2", b"u3"]
        assert file["P/span"][0].tolist() == [0.0, 1.5]
        assert file["utterance/id"].asstr()[:].tolist() == ["a", "é/ "]
        assert file["utterance/seconds"][:].tolist() == [1.5, 1.5]
        assert file["failed/reason"].asstr()[:].tolist() == ["empty wav: é"]
        assert dict(file.attrs) == {
            "format_version": 1,
            "key": built.key.encode(),
            "writer": b"mer.cache",
        }
        assert "span" not in file["F"]
        assert "label" not in file["T"]
        assert file["F/data"].chunks is None


def test_the_same_content_gives_the_same_bytes_a_second_later(spec: MakeSpec, utterance: MakeUtterance) -> None:
    first = image(spec(), [utterance("a", {"F": 3, "S": 2, "T": 1})], (FAILED,))
    time.sleep(1.1)
    assert image(spec(), [utterance("a", {"F": 3, "S": 2, "T": 1})], (FAILED,)) == first


def test_arrays_start_at_multiples_of_64_bytes(spec: MakeSpec, utterance: MakeUtterance) -> None:
    built = build_shard(spec(), [utterance("a", {"F": 3, "S": 2, "T": 1})], [])
    offsets = [dataset.offset for dataset in built.datasets.values() if dataset.offset is not None]
    assert len(offsets) > 15
    assert [offset % 64 for offset in offsets] == [0] * len(offsets)


def test_large_arrays_are_not_copied(spec: MakeSpec, utterance: MakeUtterance) -> None:
    one = utterance("a", {"F": 5000, "S": 2, "T": 1})
    blocks = build_shard(spec(), [one], []).blocks()
    assert any(np.shares_memory(np.frombuffer(block, "u1"), one[1]["F"].data) for block in blocks)


def test_a_shard_may_hold_failures_only(spec: MakeSpec) -> None:
    with opened(image(spec(), [], (FAILED,))) as file:
        assert file["F/data"].shape == (0, 2, 4)
        assert file["F/offsets"][:].tolist() == [0]
        assert file["S/span"].shape == (0, 2)
        assert file["failed/id"][:].tolist() == [b"bad"]


@pytest.mark.parametrize(
    ("dtype", "values", "bad"),
    [
        ("float16", [65504.0, -65504.0, 1e-8, 65519.0], 0),
        ("float16", [65520.0, -65520.0, 1.0], 2),
        ("float16", [np.inf, -np.inf, np.nan, -np.nan, 3.0], 4),
        ("float32", [1e38, -1e38, 65520.0], 0),
        ("float32", [np.inf, np.nan, 0.0, -np.inf], 3),
    ],
)
def test_conversion_counts_what_does_not_survive(dtype: str, values: list[float], bad: int) -> None:
    array = np.array(values, np.float32).reshape(-1, 1, 1)
    stored, count = to_storage(array, dtype)
    assert count == bad
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(stored, array.astype(dtype), strict=True)


def test_conversion_counts_each_single_bad_bit_pattern() -> None:
    patterns = np.arange(65536, dtype=np.uint16).view(np.float16)
    found = [to_storage(one.reshape(1, 1, 1), "float16")[1] for one in patterns[::257]]
    assert found == [int(not np.isfinite(one)) for one in patterns[::257]]
    assert to_storage(patterns.reshape(-1, 1, 1), "float16")[1] == 2048


def test_an_array_of_the_stored_type_is_not_copied() -> None:
    array = np.ones((2, 3, 4), np.float16)
    assert np.shares_memory(to_storage(array, "float16")[0], array)


def test_a_value_beyond_float16_is_refused_with_utterance_and_count(spec: MakeSpec, utterance: MakeUtterance) -> None:
    record, units = utterance("a", {"F": 3, "S": 2, "T": 1})
    data = np.zeros((3, 2, 4), np.float32)
    data[1, 0, 2] = data[2, 1, 3] = 1e6
    with pytest.raises(CacheError, match=r"utterance 'a': 2 of 24 values of granularity F .* `--storage float32`"):
        build_shard(spec(), [(record, units | {"F": Units(data=data)})], [])
    built = build_shard(spec(dtype="float32"), [(record, units | {"F": Units(data=data)})], [])
    assert built.datasets["F/data"].dtype == "<f4"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"F": Units(data=np.ones((0, 2, 4), np.float16))},
            r"shape \(0, 2, 4\), expected .*at least 1, 2, 4",
        ),
        ({"F": Units(data=np.ones((3, 2, 5), np.float16))}, r"shape \(3, 2, 5\)"),
        ({"S": Units(data=np.ones((1, 2, 4), np.float16))}, "S have no span"),
        ({"S": Units(data=np.ones((1, 2, 4), np.float16), span=np.ones((1, 2)))}, "S have no label"),
        (
            {"S": Units(data=np.ones((2, 2, 4), np.float16), span=np.ones((1, 2)), labels=("a", "b"))},
            r"span of granularity S has shape \(1, 2\)",
        ),
        (
            {"S": Units(data=np.ones((1, 2, 4), np.float16), span=np.array([[2.0, 1.0]]), labels=("a",))},
            "start before end",
        ),
        (
            {"S": Units(data=np.ones((1, 2, 4), np.float16), span=np.array([[0.0, np.nan]]), labels=("a",))},
            "finite seconds",
        ),
        (
            {"S": Units(data=np.ones((1, 2, 4), np.float16), span=np.ones((1, 2)), labels=("a", "b"))},
            "2 labels for 1 units",
        ),
        (
            {"S": Units(data=np.ones((1, 2, 4), np.float16), span=np.ones((1, 2)), labels=("a\0",))},
            "NUL",
        ),
    ],
)
def test_units_that_do_not_fit_name_the_utterance(
    spec: MakeSpec, utterance: MakeUtterance, change: dict[str, Units], message: str
) -> None:
    record, units = utterance("a", {"F": 3, "S": 2, "T": 1})
    with pytest.raises(CacheError, match=f"utterance 'a'.*{message}"):
        build_shard(spec(), [(record, units | change)], [])


def test_a_granularity_without_units_is_refused(spec: MakeSpec, utterance: MakeUtterance) -> None:
    with pytest.raises(CacheError, match=r"'a' has no granularity T, .* it has \['F', 'S'\]"):
        build_shard(spec(), [utterance("a", {"F": 3, "S": 2})], [])


def test_labels_of_wordpieces_are_stored_for_all_utterances_or_none(spec: MakeSpec, utterance: MakeUtterance) -> None:
    one, two = utterance("a", {"T": 2}), utterance("b", {"T": 1})
    one[1]["T"] = replace(one[1]["T"], labels=("[CLS]", "[SEP]"))
    with pytest.raises(CacheError, match=r"'b': units of granularity T have no label"):
        build_shard(spec("T"), [one, two], [])
    assert build_shard(spec("T"), [one], []).datasets["T/label"].shape == (2,)


def test_an_id_twice_in_one_shard_is_refused(spec: MakeSpec, utterance: MakeUtterance) -> None:
    with pytest.raises(CacheError, match="'bad' occurs twice"):
        build_shard(spec("F"), [utterance("bad", {"F": 1})], [FAILED])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("id", "", "without an id"),
        ("text", "a\0b", "text holds a NUL"),
        ("label", "\ud800", "label is not valid Unicode"),
        ("seconds", float("nan"), "finite and not negative, got nan"),
        ("seconds", -1.0, "finite and not negative"),
    ],
)
def test_a_record_that_cannot_be_stored_is_refused(utterance: MakeUtterance, field: str, value: Any, message: str) -> None:
    record, _ = utterance("a", {})
    with pytest.raises(CacheError, match=message):
        replace(record, **{field: value})
