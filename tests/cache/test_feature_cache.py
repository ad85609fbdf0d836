import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mer.cache import CacheError, CacheFolder, FailedUtterance, Units, UtteranceRecord, build_shard, open_cache

MakeCache = Callable[..., CacheFolder]
MakeUtterance = Callable[..., tuple[UtteranceRecord, dict[str, Units]]]
WritePlan = Callable[[CacheFolder, dict[str, list[str]]], None]
Commit = Callable[..., None]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
lengths = st.fixed_dictionaries({g: st.integers(1, 4) for g in "FPT"})


@given(
    ids=st.lists(texts.filter(bool), min_size=1, max_size=5, unique=True),
    words=st.lists(texts, min_size=5, max_size=5),
    sizes=st.lists(lengths, min_size=5, max_size=5),
    split=st.integers(0, 5),
    dtype=st.sampled_from(["float16", "float32"]),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_reads_back_exactly(
    empty_cache: MakeCache, utterance: MakeUtterance, commit: Commit, tmp_path_factory: pytest.TempPathFactory,
    ids: list[str], words: list[str], sizes: list[dict[str, int]], split: int, dtype: str,
) -> None:  # fmt: skip
    folder = empty_cache("FPT", root=tmp_path_factory.mktemp("trip"), dtype=dtype)
    written = {}
    for row, utterance_id in enumerate(ids):
        record, units = utterance(utterance_id, sizes[row], session=words[row] or "1", seed=row)
        fields: dict[str, Any] = {name: words[(row + n) % 5] for n, name in enumerate(("label", "text", "style", "dialogue"))}
        plain = {name: getattr(record, name) for name in record.__dataclass_fields__}
        written[utterance_id] = (UtteranceRecord(**plain | fields), units)
    both = list(written.values())
    parts = [part for part in (both[:split], both[split:]) if part]
    for number, part in enumerate(parts):
        commit(folder, f"session1-{number:03}", part)

    cache = open_cache(folder.path)
    assert sorted(cache.utterances.ids) == sorted(ids)
    assert list(zip(cache.utterances.sessions, cache.utterances.ids, strict=True)) == sorted(
        (record.session, record.id) for record, _ in both
    )
    packed = {g: cache.packed(g) for g in "FPT"}
    for utterance_id, (record, units) in written.items():
        row = cache.utterances.index(utterance_id)
        table = cache.utterances
        assert (table.labels[row], table.texts[row], table.styles[row]) == (record.label, record.text, record.style)
        assert (table.dialogues[row], table.speakers[row]) == (record.dialogue, record.speaker)
        for granularity in "FPT":
            expected = units[granularity].data.astype(dtype)
            np.testing.assert_array_equal(cache.read(utterance_id, granularity), expected, strict=True)
            np.testing.assert_array_equal(packed[granularity].views([row])[0], expected, strict=True)
        span = units["P"].span
        assert span is not None
        np.testing.assert_array_equal(cache.spans(utterance_id, "P"), span, strict=True)
        assert cache.labels(utterance_id, "P") == units["P"].labels


def test_a_read_is_a_read_only_view_of_the_file(small_cache: CacheFolder) -> None:
    cache = open_cache(small_cache.path)
    first, second = cache.read("b", "F"), cache.read("b", "F")
    assert first.dtype == np.float16
    assert np.shares_memory(first, second)
    assert not first.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        cache.utterances.seconds[0] = 1


def test_columns_are_sorted_by_session_then_id(small_cache: CacheFolder) -> None:
    cache = open_cache(str(small_cache.path.parent.parent), corpus="toy")
    assert cache.utterances.ids == ("a", "b", "c")
    assert cache.utterances.sessions == ("1", "1", "2")
    assert cache.utterances.speakers == ("1F", "1F", "2F")
    assert cache.utterances.seconds.tolist() == [1.5, 1.5, 1.5]
    assert cache.utterances.alignments == ("corpus",) * 3
    assert len(cache.utterances) == 3
    assert [failed.id for failed in cache.failed] == ["bad"]
    assert cache.granularities == ("F", "S", "T")
    assert (cache.layers("F"), cache.dim("F"), cache.layers("T"), cache.dim("T")) == ([1, 2], 4, [1, 2, 3], 5)
    assert cache.synthetic is True
    assert cache.key == small_cache.key


def test_an_id_in_two_shards_is_read_from_the_first(small_cache: CacheFolder, utterance: MakeUtterance, commit: Commit) -> None:
    commit(small_cache, "session3-000", [utterance("c", {"F": 1, "S": 1, "T": 1}, session="3", seed=9)])
    cache = open_cache(small_cache.path)
    assert cache.utterances.ids == ("a", "b", "c")
    assert len(cache.read("c", "F")) == 3


def test_an_utterance_that_failed_once_and_is_stored_elsewhere_is_not_failed(
    small_cache: CacheFolder, utterance: MakeUtterance, commit: Commit
) -> None:
    commit(small_cache, "session3-000", [utterance("bad", {"F": 1, "S": 1, "T": 1})])
    assert open_cache(small_cache.path).failed == ()


def test_an_unknown_utterance_is_a_key_error_with_the_closest_ids(small_cache: CacheFolder) -> None:
    cache = open_cache(small_cache.path)
    with pytest.raises(KeyError, match=r"^utterance 'aa' is not among the 3 utterances of this cache; closest: a$"):
        cache.read("aa", "F")
    with pytest.raises(CacheError, match=r"'bad' has no activations .* failed \(the wav is empty\)"):
        cache.read("bad", "F")


def test_a_granularity_that_is_not_held_says_how_to_add_it(small_cache: CacheFolder) -> None:
    cache = open_cache(small_cache.path)
    for use in (cache.layers, cache.dim, cache.packed, lambda g: cache.read("a", g)):
        with pytest.raises(CacheError, match=r"'W' is not in this cache, which holds F\+S\+T; `mer extract --gran"):
            use("W")


def test_frames_and_wordpieces_have_no_stored_times(small_cache: CacheFolder) -> None:
    cache = open_cache(small_cache.path)
    with pytest.raises(CacheError, match="granularity F has no span; only P, S and W"):
        cache.spans("a", "F")
    with pytest.raises(CacheError, match="granularity T has no label"):
        cache.labels("a", "T")


def test_an_empty_cache_says_what_to_run(empty_cache: MakeCache) -> None:
    with pytest.raises(CacheError, match="no shard is committed yet; run `mer extract`"):
        open_cache(empty_cache().path)


def test_another_format_version_is_refused(small_cache: CacheFolder) -> None:
    path = small_cache.path / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"format_version": 7}), "utf-8")
    with pytest.raises(CacheError, match=r"spec\.json: cache format version is 7, this mer reads 1"):
        open_cache(small_cache.path)


def test_a_torn_sidecar_is_an_error_and_not_a_smaller_corpus(small_cache: CacheFolder) -> None:
    small_cache.sidecar_path("session1-000").write_text("{", "utf-8")
    with pytest.raises(CacheError, match=r"session1-000\.json: not the sidecar .* re-run `mer extract`"):
        open_cache(small_cache.path)


def test_a_foreign_shard_is_refused(small_cache: CacheFolder, empty_cache: MakeCache, utterance: MakeUtterance) -> None:
    other = empty_cache("F", name="other")
    other.commit("session1-001", build_shard(other.spec, [utterance("z", {"F": 1})], []), {})
    for path in (other.shard_path("session1-001"), other.sidecar_path("session1-001")):
        (small_cache.path / "shards" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CacheError, match=r"session1-001\.json: this shard belongs to cache [0-9a-f]{12}, not to"):
        open_cache(small_cache.path)


def test_a_missing_shard_names_file_utterance_and_command(small_cache: CacheFolder) -> None:
    small_cache.shard_path("session1-000").unlink()
    cache = open_cache(small_cache.path)
    with pytest.raises(CacheError, match=r"utterance 'a': .*session1-000\.h5: .* missing .*`mer extract`"):
        cache.read("a", "F")
    assert len(cache.read("c", "F")) == 3  # the other shard is whole
    with pytest.raises(CacheError, match="missing"):
        cache.packed("F").views([0])
    with pytest.raises(CacheError, match="missing"):
        cache.check()


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1])
def test_a_truncated_shard_is_refused(small_cache: CacheFolder, size: int) -> None:
    path = small_cache.shard_path("session1-000")
    os.truncate(path, size % path.stat().st_size)
    with pytest.raises(CacheError, match=r"utterance 'b': .*bytes, expected [\d,]+: the shard is truncated"):
        open_cache(small_cache.path).read("b", "T")


def test_an_altered_shard_is_refused_at_its_first_use(small_cache: CacheFolder) -> None:
    path = small_cache.shard_path("session1-000")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(CacheError, match=r"session1-000\.h5: the content was altered .*`mer cache verify --full`"):
        open_cache(small_cache.path).read("a", "F")


def settle(path: Path) -> None:
    """Let a file look as if it had not been changed for a while; its ctime is what it is."""
    long_ago = time.time() - 60
    os.utime(path, (long_ago, long_ago))


def test_a_shard_is_hashed_once_and_again_after_any_change(small_cache: CacheFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.cache.verified._SETTLED_NS", -1)
    hashed: list[str] = []

    def count(path: Path) -> str:
        hashed.append(path.stem)
        return read_digest(path)

    from mer.files import file_sha256 as read_digest

    monkeypatch.setattr("mer.cache.verified.file_sha256", count)
    for _ in range(3):
        open_cache(small_cache.path).check()
    assert hashed == ["session1-000", "session2-000"]
    path = small_cache.shard_path("session2-000")
    time.sleep(0.02)
    path.write_bytes(path.read_bytes())
    settle(path)
    open_cache(small_cache.path).check()
    assert hashed[2:] == ["session2-000"]
    (small_cache.path / "verified.json").write_text("garbage", "utf-8")
    open_cache(small_cache.path).check()
    assert len(hashed) == 5


def test_a_shard_that_changed_a_moment_ago_is_not_remembered(small_cache: CacheFolder) -> None:
    open_cache(small_cache.path).check()
    assert not (small_cache.path / "verified.json").exists()


def test_a_folder_that_cannot_be_written_is_readable(small_cache: CacheFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.cache.verified._SETTLED_NS", -1)
    (small_cache.path / "tmp").rmdir()  # as root, permissions would stop nobody
    cache = open_cache(small_cache.path)
    cache.check()
    assert len(cache.read("a", "F")) == 1
    assert not (small_cache.path / "verified.json").exists()


def test_progress_counts_bytes_to_the_end(small_cache: CacheFolder) -> None:
    seen: list[tuple[int, int]] = []
    open_cache(small_cache.path).check(lambda done, total: seen.append((done, total)))
    total = sum(small_cache.shard_path(name).stat().st_size for name in small_cache.shard_files())
    assert len(seen) == 2
    assert seen[-1] == (total, total)


def test_what_is_planned_but_not_extracted_is_counted(small_cache: CacheFolder, write_plan: WritePlan) -> None:
    assert open_cache(small_cache.path).unfinished == 0
    plan = {"session1-000": ["a", "b", "bad"], "session2-000": ["c"], "session3-000": ["x", "y"]}
    write_plan(small_cache, plan)
    assert open_cache(small_cache.path).unfinished == 2


def test_a_shard_of_failures_only_is_harmless(small_cache: CacheFolder, commit: Commit) -> None:
    failed = [FailedUtterance(id="zzz", reason="silence", fingerprint="2" * 64)]
    commit(small_cache, "session9-000", [], failed)
    cache = open_cache(small_cache.path)
    cache.check()
    assert [one.id for one in cache.failed] == ["bad", "zzz"]
    assert len(cache.packed("F")) == 3
