"""The cache of format version 1 in `tests/data` stays readable for ever."""

import hashlib
import importlib.util
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

from mer.cache import CacheFolder, open_cache, verify
from mer.tests.cache.whole_plan import pending, plan_shards

DATA = Path(__file__).parent.parent / "data"
DIGESTS = {
    "session1-000": "a2b756fb25d298b2704209eb5201ded10ff2344e22ea17beebc9fd0ffea710b5",
    "session2-000": "005a51f98b3852946db6bb8eb34015b4277c8f89facba12e76b4003087b8ed2d",
}


@pytest.fixture
def folder(tmp_path: Path) -> CacheFolder:
    shutil.copytree(DATA / "cache-v1", tmp_path / "archive")  # reading may write verified.json
    return CacheFolder.find(tmp_path / "archive")


@pytest.fixture(scope="module")
def made_by() -> ModuleType:
    found = importlib.util.spec_from_file_location("make_cache_v1", DATA / "make_cache_v1.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", DIGESTS)
def test_the_archive_itself_is_untouched(folder: CacheFolder, name: str) -> None:
    assert hashlib.sha256(folder.shard_path(name).read_bytes()).hexdigest() == DIGESTS[name]
    assert sorted(path.stem for path in (DATA / "cache-v1").rglob("*.h5")) == sorted(DIGESTS)


def test_every_value_reads_as_it_was_written(folder: CacheFolder, made_by: ModuleType) -> None:
    cache = open_cache(folder.path)
    assert cache.spec == made_by.SPEC
    assert cache.utterances.ids == ("Ses01F_impro01_F000", "é/ ", "Ses02M_script01_1_M001")
    assert cache.failed == (made_by.FAILED,)
    for row, ((session, utterance_id), counts) in enumerate(made_by.UNITS.items()):
        expected = made_by.record(session, utterance_id, row)
        index = cache.utterances.index(utterance_id)
        for column, field in [("labels", "label"), ("texts", "text"), ("speakers", "speaker"), ("styles", "style")]:
            assert getattr(cache.utterances, column)[index] == getattr(expected, field)
        assert cache.utterances.seconds[index] == expected.seconds
        for granularity, units in counts.items():
            found = cache.read(utterance_id, granularity)
            np.testing.assert_array_equal(found, made_by.data(row, granularity, units), strict=True)
            if granularity in "PSW":
                np.testing.assert_array_equal(cache.spans(utterance_id, granularity), made_by.span(units))
                assert cache.labels(utterance_id, granularity)[0] == f"{granularity}0"
    assert cache.read("é/ ", "T")[1, 2, 0] == 16 + 1 + 2 / 4


def test_it_is_whole_and_an_extraction_would_keep_it(folder: CacheFolder, made_by: ModuleType) -> None:
    assert verify(folder, full=True).findings == ()
    plan = plan_shards(folder, [(utterance_id, session, 100) for session, utterance_id in made_by.UNITS])
    fingerprints = {i: str(row) * 64 for row, (_, i) in enumerate(made_by.UNITS)}
    assert pending(folder, plan, fingerprints) == []


def test_plain_hdf5_reads_it_without_this_package(folder: CacheFolder) -> None:
    with h5py.File(folder.shard_path("session2-000"), "r") as opened:
        file: Any = opened
        assert file.attrs["format_version"] == 1
        assert list(file) == ["F", "P", "S", "T", "W", "failed", "utterance"]
        assert file["utterance/text"].asstr()[0] == "Nobody came at all."
        assert file["F/data"].shape == (7, 2, 4)
        assert file["F/data"].dtype == np.float16
