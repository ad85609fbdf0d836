"""Apple's Core Audio Format."""

import struct
from typing import BinaryIO

from mer.corpus.containers.extent import Extent, chunks, size_of

MAGIC = b"caff"
_HEAD = struct.Struct(">4sq")


def caf_extent(file: BinaryIO) -> Extent | None:
    """Compare the data chunk with the file.

    Returns:
        None without one, or where it goes to the end of the file (size -1).
    """
    file.seek(8)
    bytes_per_second = 0.0
    for name, size in chunks(file, _HEAD, even=1):
        if name == b"desc" and size >= 32:
            rate, packet_bytes, packet_frames = struct.unpack(">d8xII", file.read(24).ljust(24, b"\0"))
            bytes_per_second = rate * packet_bytes / packet_frames if packet_frames else 0.0
        elif name == b"data":
            edits = 4  # a counter of edits comes before the audio
            return Extent.of_bytes(size - edits, size_of(file) - file.tell() - edits, bytes_per_second) if size > edits else None
    return None
