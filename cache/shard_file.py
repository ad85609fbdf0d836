"""One committed shard on disk: checked, then mapped."""

import mmap
from pathlib import Path

import h5py
import numpy as np

from mer.cache.cache_error import CacheError
from mer.cache.layout import Dataset, check_datasets, expected_datasets
from mer.cache.sidecar import Sidecar
from mer.cache.spec import Spec
from mer.cache.verified import VerifiedShards
from mer.files.refusals import cure
from mer.files.regular_file import open_file


class ShardFile:
    """The arrays of one shard, read-only and without a copy; nothing is opened before the first use."""

    def __init__(self, path: Path, sidecar: Sidecar, spec: Spec, verified: VerifiedShards | None) -> None:
        """Nothing is opened yet.

        Args:
            path: the file.
            sidecar: what it must hold.
            spec: of the cache.
            verified: hashes the file before its first use; None when the caller has just done that.
        """
        self.path = path
        self.sidecar = sidecar
        self._spec = spec
        self._verified = verified
        self._checked = False
        self._map: mmap.mmap | None = None
        self._arrays: dict[str, np.ndarray] = {}

    @property
    def is_mapped(self) -> bool:
        """Whether it holds a file descriptor."""
        return self._map is not None

    def check(self) -> None:
        """Hash the file unless that was done before, and compare its structure with the sidecar.

        Raises:
            CacheError: if the file is missing, altered, or no shard that this format allows.
        """
        if self._checked:
            return
        if self._verified is not None:
            self._verified.check(self.path, self.sidecar)
        # Only now: HDF5 may crash or hang on bytes that it did not write.
        check_structure(self.path, self.sidecar, self._spec)
        for granularity, counts in self.sidecar.units.items():
            offsets = self._read(f"{granularity}/offsets")
            if not np.array_equal(offsets, np.cumsum([0, *counts])):
                raise CacheError(
                    f"{self.path}: /{granularity}/offsets disagrees with the sidecar; delete the sidecar and re-run `mer extract`"
                )
        self._checked = True

    def array(self, name: str) -> np.ndarray:
        """A dataset, mapped; valid for as long as somebody holds it, even after `close`."""
        found = self._arrays.get(name)
        if found is None:
            self.check()
            found = self._arrays[name] = self._read(name)
        return found

    def release(self, name: str, start: int, stop: int) -> None:
        """Let the system take back the memory of rows [start, stop) of a dataset; they stay readable."""
        self._advise("MADV_DONTNEED", name, start, stop)

    def prefetch(self, name: str, start: int, stop: int) -> None:
        """Ask the system to read rows [start, stop) of a dataset while something else goes on."""
        self._advise("MADV_WILLNEED", name, start, stop)

    def _advise(self, advice: str, name: str, start: int, stop: int) -> None:
        """Advise on whole 64 KiB stretches, because that is what Linux maps around one page fault."""
        if self._map is None or not hasattr(mmap, advice):
            return
        dataset = self.sidecar.datasets[name]
        if dataset.offset is None or not dataset.shape[0]:
            return
        row = dataset.nbytes // dataset.shape[0]
        first = (dataset.offset + start * row) // _FAULT_AROUND * _FAULT_AROUND
        last = min(-(-(dataset.offset + stop * row) // _FAULT_AROUND) * _FAULT_AROUND, len(self._map))
        if first < last:
            self._map.madvise(getattr(mmap, advice), first, last - first)

    def close(self) -> None:
        """Forget the mapping; it ends when the last array made from it does."""
        self._arrays = {}
        self._map = None

    def _read(self, name: str) -> np.ndarray:
        dataset = self.sidecar.datasets[name]
        dtype = np.dtype(dataset.dtype)
        if dataset.offset is None:
            empty = np.empty(dataset.shape, dtype)
            empty.flags.writeable = False
            return empty
        if self._map is None:
            self._map = self._open_map()
        count = dataset.nbytes // dtype.itemsize
        return np.frombuffer(self._map, dtype, count, dataset.offset).reshape(dataset.shape)

    def _open_map(self) -> mmap.mmap:
        try:
            with open_file(self.path) as file:
                return mmap.mmap(file.fileno(), self.sidecar.bytes, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            helps = cure(error, "`mer extract` makes a missing shard anew")
            raise CacheError(f"{self.path}: cannot be mapped ({error}); {helps}") from error


_FAULT_AROUND = max(1 << 16, mmap.ALLOCATIONGRANULARITY)


def check_structure(path: Path, sidecar: Sidecar, spec: Spec) -> None:
    """Compare the HDF5 structure of a shard with its sidecar, without reading any element.

    Raises:
        CacheError: if something in it is no plain dataset, leads elsewhere, or differs from the sidecar.
    """
    try:
        with h5py.File(path, "r", locking=False, rdcc_nbytes=0) as file:
            version = file.attrs.get("format_version")
            key = file.attrs.get("key")
            found = {
                f"{group}/{name}": _safe_dataset(child, name, path)
                for group, child in _children(file, path).items()
                for name in _safe_names(child, path)
            }
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, CacheError):
            raise
        helps = cure(error, "delete it and re-run `mer extract`")
        raise CacheError(f"{path}: HDF5 cannot read its structure ({error}); {helps}") from error
    if version != 1 or key != sidecar.key.encode("ascii"):
        raise CacheError(
            f"{path}: format version {version!r} and key {key!r} in the file, expected 1 and "
            f"{sidecar.key[:12]}...; "
            "it belongs to another cache: delete it and re-run `mer extract`"
        )
    expected = expected_datasets(spec, sidecar.units, len(sidecar.utterances), len(sidecar.failed))
    check_datasets(found, expected, str(path))
    for name, dataset in found.items():
        if dataset != sidecar.datasets.get(name):
            raise CacheError(f"{path}: dataset /{name} is not as its sidecar says; delete both and re-run `mer extract`")
        if dataset.offset is not None and dataset.offset + dataset.nbytes > sidecar.bytes:
            raise CacheError(f"{path}: dataset /{name} ends after the file; delete it and re-run `mer extract`")
    if set(found) != set(sidecar.datasets):
        raise CacheError(f"{path}: the sidecar names datasets that the file lacks; delete both and re-run `mer extract`")


def _children(file: h5py.File, path: Path) -> dict[str, h5py.Group]:
    groups = {}
    for name in _safe_names(file, path):
        child = file[name]
        if not isinstance(child, h5py.Group):
            raise CacheError(f"{path}: /{name} is no group; this is no shard of format version 1")
        groups[name] = child
    return groups


def _safe_names(group: h5py.Group, path: Path) -> list[str]:
    names = list(group)
    if len(names) > 64:
        raise CacheError(f"{path}: {group.name} has {len(names)} entries; this is no shard of format version 1")
    for name in names:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise CacheError(f"{path}: {group.name}/{name} is a link to elsewhere, which a shard must not hold")
    return names


def _safe_dataset(group: h5py.Group, name: str, path: Path) -> Dataset:
    where = f"{path}: dataset {group.name}/{name}"
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset):
        raise CacheError(f"{where} is no dataset; this is no shard of format version 1")
    properties = dataset.id.get_create_plist()
    # Only chunks can have filters, and the elements of a virtual dataset are in other files.
    if properties.get_layout() != h5py.h5d.CONTIGUOUS or properties.get_external_count():
        raise CacheError(f"{where} keeps its elements elsewhere or in chunks; a shard holds contiguous data only")
    if dataset.dtype.kind not in "fiS" or dataset.dtype.hasobject or dataset.dtype.subdtype is not None:
        raise CacheError(f"{where} has type {dataset.dtype}, which a shard must not hold")
    found = Dataset(shape=dataset.shape, dtype=dataset.dtype.str, offset=dataset.id.get_offset())
    if found.nbytes != dataset.id.get_storage_size():
        raise CacheError(f"{where} declares {found.nbytes} bytes and stores {dataset.id.get_storage_size()}")
    return found
