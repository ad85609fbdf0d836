"""Sony's Wave64: RIFF with names of 16 bytes and sizes of 64 bits that count their own head."""

import struct
from typing import BinaryIO

from mer.corpus.containers.extent import Extent, size_of

MAGIC = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_HEAD = struct.Struct("<16sq")
_FILE_HEAD = 40  # riff, size, wave


def wave64_extent(file: BinaryIO) -> Extent | None:
    """Compare the data chunk with the file.

    Returns:
        None without a data chunk, or where its writer did not know the size.
    """
    total, bytes_per_second = size_of(file), 0
    file.seek(_FILE_HEAD)
    while len(found := file.read(_HEAD.size)) == _HEAD.size:
        name, size = _HEAD.unpack(found)
        size -= _HEAD.size
        start = file.tell()
        if name[:4] == b"data":
            known = 0 < size < 2**63 - 1 - _HEAD.size
            return Extent.of_bytes(size, total - start, bytes_per_second) if known else None
        if name[:4] == b"fmt ":
            bytes_per_second = struct.unpack("<8xI", file.read(12).ljust(12, b"\0"))[0]
        if size < 0:
            return None
        file.seek(start + size + -size % 8)
    return None
