"""Electronic Arts' IFF: AIFF, AIFC, and the Amiga's 8SVX and 16SV."""

import struct
from typing import BinaryIO

from mer.corpus.containers.extent import Extent, chunks, is_unknown, size_of

_HEAD = struct.Struct(">4sI")
_SAMPLE_BYTES = {b"alaw": 1, b"ALAW": 1, b"ulaw": 1, b"ULAW": 1}
"""Compressed samples of AIFC, whose COMM chunk gives the bits before compression."""


def iff_extent(file: BinaryIO) -> Extent | None:
    """Compare the chunk of samples, SSND or BODY, with the file.

    Returns:
        None for another kind of IFF, without such a chunk, or where its writer did not know the size.
    """
    kind = file.read(12)[8:]
    if kind not in (b"AIFF", b"AIFC", b"8SVX", b"16SV"):
        return None
    bytes_per_second, promised, there = 0.0, 0, 0
    for name, size in chunks(file, _HEAD):
        start = file.tell()
        if name == b"COMM" and size >= 18:
            bytes_per_second = _common(file.read(22 if size >= 22 else 18))
        elif name == b"VHDR" and size >= 14:
            rate = struct.unpack(">12xH", file.read(14).ljust(14, b"\0"))[0]
            bytes_per_second = rate * (2 if kind == b"16SV" else 1)
        elif name == b"SSND" and not is_unknown(size):
            offset = struct.unpack(">I", file.read(4).ljust(4, b"\0"))[0]
            promised, there = size - 8 - offset, size_of(file) - start - 8 - offset
        elif name == b"BODY" and not is_unknown(size):
            promised, there = size, size_of(file) - start
    return Extent.of_bytes(promised, there, bytes_per_second) if promised > 0 else None


def _common(content: bytes) -> float:
    """Bytes per second from a COMM chunk."""
    if len(content) < 18:
        return 0.0
    channels, _, bits, exponent, mantissa = struct.unpack(">hIhHQ", content[:18])
    width: int = channels * _SAMPLE_BYTES.get(content[18:22], (bits + 7) // 8)
    rate: float = float(mantissa) * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63)  # 80-bit extended precision
    return width * rate
