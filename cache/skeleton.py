"""The HDF5 structure of a shard without its content: datasets placed, nothing written into them."""

import io
from collections.abc import Mapping

import h5py
import numpy as np

from mer.cache.layout import Dataset

ALIGNMENT = 64
"""Every object starts at a multiple of this many bytes, so that mapped arrays are aligned."""


class _SparseFile(io.RawIOBase):
    """A file object that remembers what HDF5 writes and where; unwritten stretches take no memory.

    HDF5 never touches a disk here: on a full one it can take the interpreter down (h5py issue 914).
    """

    def __init__(self) -> None:
        self._writes: list[tuple[int, bytes]] = []
        self._position = 0
        self.size = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self.size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self.size = self._position if size is None else size
        return self.size

    def write(self, data: object) -> int:
        content = bytes(memoryview(data))  # type: ignore[arg-type]
        self._writes.append((self._position, content))
        self._position += len(content)
        self.size = max(self.size, self._position)
        return len(content)

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        view[:] = self.content(self._position, self._position + len(view))
        self._position += len(view)
        return len(view)

    def content(self, start: int, stop: int) -> bytes:
        found = bytearray(stop - start)
        for offset, data in self._writes:
            low, high = max(offset, start), min(offset + len(data), stop)
            if low < high:
                found[low - start : high - start] = data[low - offset : high - offset]
        return bytes(found)

    def runs(self) -> list[tuple[int, bytes]]:
        """What was written, as disjoint stretches in file order."""
        ends: list[list[int]] = []
        for start, stop in sorted((offset, offset + len(data)) for offset, data in self._writes):
            if ends and start <= ends[-1][1]:
                ends[-1][1] = max(ends[-1][1], stop)
            else:
                ends.append([start, stop])
        return [(start, self.content(start, stop)) for start, stop in ends]


def build_skeleton(
    shapes: Mapping[str, tuple[tuple[int, ...], np.dtype]], attributes: Mapping[str, bytes | int]
) -> tuple[dict[str, Dataset], list[tuple[int, bytes]], int]:
    """Lay out a shard: contiguous datasets, no filters, no times, superblock and headers of HDF5 1.10.

    Args:
        shapes: shape and dtype by `group/name`, in the order in which the file holds them.
        attributes: attributes of the root group.

    Returns:
        The datasets with their offsets, the stretches that hold structure, and the size of the file.
    """
    sparse = _SparseFile()
    datasets: dict[str, Dataset] = {}
    # A h5py.File of its own: nothing is read from or written to disk, whatever the size declared.
    with h5py.File(sparse, "w", libver=("v110", "v110"), alignment_threshold=1, alignment_interval=ALIGNMENT) as file:
        for name, value in attributes.items():
            file.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else np.int64(value)
        groups: dict[str, h5py.h5g.GroupID] = {}
        for path, (shape, dtype) in shapes.items():
            group, _, name = path.partition("/")
            if group not in groups:
                groups[group] = _create_group(file, group)
            datasets[path] = _create_dataset(groups[group], name, shape, dtype)
    return datasets, sparse.runs(), sparse.size


def _create_group(file: h5py.File, name: str) -> h5py.h5g.GroupID:
    properties = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    properties.set_obj_track_times(False)
    return h5py.h5g.create(file.id, name.encode("ascii"), gcpl=properties)


def _create_dataset(group: h5py.h5g.GroupID, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Dataset:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    stored = h5py.string_dtype("utf-8", dtype.itemsize) if dtype.kind == "S" else dtype
    created = h5py.h5d.create(
        group,
        name.encode("ascii"),
        h5py.h5t.py_create(stored, logical=True),
        h5py.h5s.create_simple(shape),
        dcpl=properties,
    )
    return Dataset(shape=shape, dtype=dtype.str, offset=created.get_offset())
