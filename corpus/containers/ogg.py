"""Ogg (RFC 3533): pages, the last of which closes its stream."""

import struct
from typing import BinaryIO

from mer.corpus.containers.extent import Extent

MAGIC = b"OggS"
_PAGE = struct.Struct("<4sBBqIIIB")
_LAST = 4
OPUS_RATE = 48_000


def ogg_extent(file: BinaryIO) -> Extent | None:
    """Go through the pages: each must be there whole, and every stream must have its last one.

    Ogg promises no length, but the last page of a stream is marked. What comes after the last page is no part of it.

    Returns:
        None where there is not one page.
    """
    open_streams: dict[int, tuple[int, int]] = {}
    """Rate and samples to skip, by serial number, of streams whose last page has not come."""
    seconds, pages, cut = 0.0, 0, False
    while (head := file.read(_PAGE.size))[:4] == MAGIC[: len(head)] and head:
        if len(head) < _PAGE.size:
            cut = True
            break
        _, _, flags, granule, serial, _, _, segments = _PAGE.unpack(head)
        table = file.read(segments)
        length = sum(table)
        body = file.read(length)
        if len(table) < segments or len(body) < length:
            cut = True
            break
        if not pages or serial not in open_streams:
            open_streams[serial] = _clock(body)
        pages += 1
        rate, skipped = open_streams[serial]
        if rate and granule > 0:
            seconds = max(seconds, (granule - skipped) / rate)
        if flags & _LAST:
            del open_streams[serial]
    if not pages and not cut:
        return None
    missing = "a part of its last page" if cut else "the page that closes the stream"
    return Extent(promised=None, there=max(0.0, seconds), whole=not cut and not open_streams, missing=missing)


def _clock(packet: bytes) -> tuple[int, int]:
    """Samples per second of a stream's positions, and how many of the first are not heard; 0 where that is not known."""
    if packet[:7] == b"\x01vorbis" and len(packet) >= 16:
        return struct.unpack("<12xI", packet[:16])[0], 0
    if packet[:8] == b"OpusHead" and len(packet) >= 12:
        return OPUS_RATE, struct.unpack("<10xH", packet[:12])[0]
    return 0, 0
