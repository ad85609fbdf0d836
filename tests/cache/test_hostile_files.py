"""HDF5 files that look committed but lead elsewhere, lie about their size, or hold what no shard may hold."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mer.cache import CacheError, CacheFolder, open_cache, verify
from mer.cache.layout import Dataset
from mer.files import file_sha256

NAME = "session2-000"
Change = Callable[[Any, Path], None]


def external_storage(file: Any, secret: Path) -> None:
    shape = file["F/data"].shape
    del file["F/data"]
    file["F"].create_dataset("data", shape, "f2", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def soft_link(file: Any, secret: Path) -> None:
    del file["F/data"]
    file["F/data"] = h5py.SoftLink("/T/data")


def external_link(file: Any, secret: Path) -> None:
    del file["F/data"]
    file["F/data"] = h5py.ExternalLink(str(secret), "/data")


def external_group(file: Any, secret: Path) -> None:
    del file["F"]
    file["F"] = h5py.ExternalLink(str(secret), "/")


def virtual(file: Any, secret: Path) -> None:
    shape = file["F/data"].shape
    del file["F/data"]
    layout = h5py.VirtualLayout(shape=shape, dtype="f2")
    layout[:] = h5py.VirtualSource(str(secret), "data", shape=shape)
    file["F"].create_virtual_dataset("data", layout)


def gzip_bomb(file: Any, secret: Path) -> None:
    del file["F/data"]
    file["F"].create_dataset("data", (1 << 20, 2, 4), "f2", compression="gzip", chunks=(1 << 18, 2, 4))


def chunked(file: Any, secret: Path) -> None:
    content = file["F/data"][:]
    del file["F/data"]
    file["F"].create_dataset("data", data=content, chunks=True)


def nothing_stored(file: Any, secret: Path) -> None:
    del file["F/data"]
    file["F"].create_dataset("data", (1 << 40, 2, 4), "f2")


def variable_length(file: Any, secret: Path) -> None:
    del file["utterance/text"]
    file["utterance"].create_dataset("text", data=["nothing to say"], dtype=h5py.string_dtype())


def another_type(file: Any, secret: Path) -> None:
    content = file["F/data"][:]
    del file["F/data"]
    file["F"].create_dataset("data", data=content.astype("f4"))


def another_shape(file: Any, secret: Path) -> None:
    del file["F/data"]
    file["F"].create_dataset("data", data=np.zeros((3, 2, 5), "f2"))


def big_endian(file: Any, secret: Path) -> None:
    content = file["F/data"][:]
    del file["F/data"]
    file["F"].create_dataset("data", data=content.astype(">f2"))


def one_more_dataset(file: Any, secret: Path) -> None:
    file["F"].create_dataset("more", data=np.zeros(3))


def one_less_dataset(file: Any, secret: Path) -> None:
    del file["S/span"]


def a_group_for_a_dataset(file: Any, secret: Path) -> None:
    del file["F/data"]
    file["F"].create_group("data")


def a_dataset_for_a_group(file: Any, secret: Path) -> None:
    del file["F"]
    file.create_dataset("F", data=np.zeros(3))


def many_names(file: Any, secret: Path) -> None:
    for number in range(100):
        file["F"].create_group(f"g{number}")


def another_key(file: Any, secret: Path) -> None:
    file.attrs["key"] = np.bytes_(b"f" * 64)


def another_version(file: Any, secret: Path) -> None:
    file.attrs["format_version"] = 2


def moved(file: Any, secret: Path) -> None:
    file["F"].create_dataset("new", data=file["F/data"][:])
    del file["F/data"]
    file["F"].move("new", "data")


CHANGES: dict[Change, str] = {
    external_storage: "elsewhere",
    soft_link: "link to elsewhere",
    external_link: "link to elsewhere",
    external_group: "link to elsewhere",
    virtual: "elsewhere",
    gzip_bomb: "in chunks",
    chunked: "in chunks",
    nothing_stored: "declares 17592186044416 bytes and stores 0",
    variable_length: "has type object",
    another_type: "/F/data is <f4",
    another_shape: r"/F/data is <f2 \(3, 2, 5\), expected <f2 \(3, 2, 4\)",
    big_endian: "/F/data is >f2",
    one_more_dataset: "unexpected dataset /F/more",
    one_less_dataset: "no dataset /S/span",
    a_group_for_a_dataset: "is no dataset",
    a_dataset_for_a_group: "/F is no group",
    many_names: "103 entries|10[0-9] entries",
    another_key: "belongs to another cache",
    another_version: "format version .*2.* in the file",
    moved: "not as its sidecar says",
}


def seal(folder: CacheFolder, **changes: Any) -> None:
    path = folder.shard_path(NAME)
    sidecar = replace(folder.sidecars()[NAME], bytes=path.stat().st_size, sha256=file_sha256(path), **changes)
    folder.sidecar_path(NAME).write_text(sidecar.to_json(), "utf-8")


@pytest.mark.parametrize(("change", "message"), CHANGES.items(), ids=[change.__name__ for change in CHANGES])
def test_a_file_with_the_right_digest_and_the_wrong_structure_is_refused(
    small_cache: CacheFolder, tmp_path: Path, change: Change, message: str
) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file.create_dataset("data", data=np.ones((3, 2, 4), "f2"))
    with h5py.File(small_cache.shard_path(NAME), "r+") as file:
        change(file, secret)
    seal(small_cache)
    with pytest.raises(CacheError, match=message):
        open_cache(small_cache.path).read("c", "F")
    assert [finding.shard for finding in verify(small_cache, full=True).findings] == [NAME]


def test_what_is_no_hdf5_file_is_refused(small_cache: CacheFolder) -> None:
    small_cache.shard_path(NAME).write_bytes(b"no HDF5 file at all" * 100)
    seal(small_cache)
    with pytest.raises(CacheError, match=r"session2-000\.h5: HDF5 cannot read its structure"):
        open_cache(small_cache.path).read("c", "F")


@pytest.mark.parametrize(
    "lie",
    [
        {"offset": 1 << 40},
        {"offset": 0},
        {"offset": None},
        {"shape": (1 << 40, 2, 4)},
        {"dtype": "<f4"},
        {"dtype": "|O"},
    ],
    ids=str,
)
def test_a_sidecar_that_lies_about_a_dataset_reads_nothing(small_cache: CacheFolder, lie: dict[str, Any]) -> None:
    datasets = dict(small_cache.sidecars()[NAME].datasets)
    given: Dataset = datasets["F/data"]
    seal(small_cache, datasets=datasets | {"F/data": replace(given, **lie)})
    with pytest.raises(CacheError, match="dataset /F/data is not as its sidecar says"):
        open_cache(small_cache.path).read("c", "F")


def test_a_sidecar_that_lies_about_the_units_reads_nothing(small_cache: CacheFolder) -> None:
    units = dict(small_cache.sidecars()[NAME].units)
    seal(small_cache, units=units | {"F": (1 << 30,)})
    with pytest.raises(CacheError, match=r"/F/data is <f2 \(3, 2, 4\), expected <f2 \(1073741824, 2, 4\)"):
        open_cache(small_cache.path).read("c", "F")


def test_too_many_open_files_are_not_taken_for_a_damaged_shard(small_cache: CacheFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("mer.cache.verified.file_sha256", refuse)
    with pytest.raises(CacheError, match=r"cannot be read \(Too many open files\); Raise the number") as refused:
        open_cache(small_cache.path).read("c", "F")
    assert "mer extract" not in str(refused.value)
