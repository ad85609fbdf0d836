import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.cache import CacheFolder, FeatureCache, PackedUnits, Units, UtteranceRecord, open_cache

MakeCache = Callable[..., CacheFolder]
MakeUtterance = Callable[..., tuple[UtteranceRecord, dict[str, Units]]]
LENGTHS = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture
def cache(empty_cache: MakeCache, utterance: MakeUtterance, commit: Callable[..., None]) -> FeatureCache:
    folder = empty_cache("F")
    made = [utterance(f"u{n}", {"F": length}, seed=n) for n, length in enumerate(LENGTHS)]
    commit(folder, "session1-000", made[:3])
    commit(folder, "session1-001", made[3:])
    return open_cache(folder.path)


def test_sizes_are_known_before_any_shard_is_opened(cache: FeatureCache) -> None:
    cache.folder.shard_path("session1-000").unlink()
    packed = cache.packed("F")
    assert packed.lengths.tolist() == LENGTHS
    assert packed.lengths.dtype == np.int64
    assert (packed.layers, packed.dim, packed.dtype) == (2, 4, np.dtype(np.float16))
    assert packed.nbytes == sum(LENGTHS) * 2 * 4 * 2
    assert len(packed) == 8


def test_rows_follow_the_indices_asked_for(cache: FeatureCache) -> None:
    packed = cache.packed("F", [6, 0, 6])
    assert packed.lengths.tolist() == [2, 3, 2]
    assert packed.nbytes == 7 * 16
    for view, name in zip(packed.views([2, 1, 0]), ["u6", "u0", "u6"], strict=True):
        np.testing.assert_array_equal(view, cache.read(name, "F"), strict=True)
        assert np.shares_memory(view, cache.read(name, "F"))
    assert packed.views(np.array([1]))[0].shape == (3, 2, 4)


def test_released_rows_stay_valid(cache: FeatureCache) -> None:
    packed = cache.packed("F")
    packed.release([0])  # not mapped yet
    views = packed.views(range(8))
    before = [view.copy() for view in views]
    packed.release(range(8))
    packed.release([7, 3, 3])
    for view, copy in zip(views, before, strict=True):
        np.testing.assert_array_equal(view, copy, strict=True)


def test_neighbouring_rows_are_released_together_and_never_across_shards() -> None:
    class Recorder:
        def __init__(self, number: int) -> None:
            self.number = number

        def release(self, name: str, start: int, stop: int) -> None:
            released.append((self.number, name, start, stop))

    released: list[tuple[int, str, int, int]] = []
    shard: Any = Recorder
    places = [(0, 0, 3), (0, 3, 4), (1, 4, 9), (1, 12, 13), (0, 8, 9)]
    PackedUnits("F", places, shard, (2, 4), np.dtype(np.float16)).release([4, 3, 2, 1, 0])
    assert released == [(0, "F/data", 0, 4), (0, "F/data", 8, 9), (1, "F/data", 4, 9), (1, "F/data", 12, 13)]
    released.clear()
    PackedUnits("F", places, shard, (2, 4), np.dtype(np.float16)).release([1, 2])
    assert released == [(0, "F/data", 3, 4), (1, "F/data", 4, 9)]


def test_views_outlive_a_shard_that_was_closed_for_others(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_most_mapped", 1)
    packed = cache.packed("F")
    views = packed.views([0, 3, 1, 4])
    assert [shard.is_mapped for shard in cache._shards] == [False, True]
    for view, name in zip(views, ["u0", "u3", "u1", "u4"], strict=True):
        np.testing.assert_array_equal(view, cache.read(name, "F"), strict=True)


SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from mer.cache import CacheFolder, Units, UtteranceRecord, build_shard, open_cache
from mer.files import Disk

class Unsynced(Disk):
    def fsync(self, descriptor): pass
    def fsync_folder(self, folder): pass

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

spec = {"format_version": 1, "corpus": {"name": "toy"}, "granularities": ["F"], "layers": {"speech": [1, 2]},
        "dim": {"speech": 256}, "storage": {"dtype": "float16"}}
folder = CacheFolder.create(Path(sys.argv[1]), spec, disk=Unsynced())
data = np.ones((400, 2, 256), np.float16)
for shard in range(150):
    made = [(UtteranceRecord(id=f"{shard}-{n}", label="a", speaker="1F", session="1", seconds=1.0, alignment="none",
                             fingerprint="0" * 64), {"F": Units(data=data)}) for n in range(2)]
    folder.commit(f"session1-{shard:03}", build_shard(spec, made, []), {})
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
cache = open_cache(folder.path)
packed = cache.packed("F")
start = resident()
peak = total = 0
for row in np.random.default_rng(0).permutation(len(packed)):
    total += float(packed.views([row])[0].sum(dtype=np.float64))
    packed.release([row])
    peak = max(peak, resident())
released = peak - start
assert total == 300 * 400 * 2 * 256
cache = open_cache(folder.path)
packed = cache.packed("F")
cache._most_mapped = 90
kept = [packed.views([row])[0] for row in range(0, 150)]
for view in kept: view.max()
print(round(packed.nbytes / 1e6), round(released), round(resident() - start), cache._shards[0].is_mapped)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's process statistics")
def test_memory_and_descriptors_stay_bounded_over_150_shards(tmp_path: Path) -> None:
    script = textwrap.dedent(SCRIPT)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    stored, released, kept, _ = done.stdout.split()
    assert int(stored) == 123
    assert int(released) < 20
    assert int(kept) > 50  # what a run without release would hold, so that the line above can fail
