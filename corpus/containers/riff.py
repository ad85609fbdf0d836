"""Waves in RIFF, big-endian RIFX, and RF64 or BW64, whose sizes have 64 bits."""

import struct
from typing import BinaryIO

from mer.corpus.containers.extent import Extent, chunks, is_unknown, size_of

MAGICS = (b"RIFF", b"RIFX", b"RF64", b"BW64")


def riff_extent(file: BinaryIO) -> Extent | None:
    """Compare the data chunk with the file (EBU Tech 3306 for the 64-bit size in `ds64`).

    Returns:
        None where it is no wave, has no data chunk, or its writer did not know the size.
    """
    magic, _, kind = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if kind != b"WAVE":
        return None
    order = ">" if magic == b"RIFX" else "<"
    bytes_per_second, long_size = 0, 0
    for name, size in chunks(file, struct.Struct(f"{order}4sI")):
        if name == b"ds64" and size >= 16:
            long_size = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
        elif name == b"fmt " and size >= 12:
            bytes_per_second = struct.unpack(f"{order}8xI", file.read(12).ljust(12, b"\0"))[0]
        elif name == b"data":
            if magic in (b"RF64", b"BW64") and size == 0xFFFFFFFF:
                size = long_size if 0 < long_size < 2**63 - 1 else 0
            elif is_unknown(size):
                size = 0
            return Extent.of_bytes(size, size_of(file) - file.tell(), bytes_per_second) if size else None
    return None
