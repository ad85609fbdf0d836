"""FLAC (RFC 9639): the header counts the samples, and every frame says with which one it begins."""

from functools import cache
from pathlib import Path
from typing import BinaryIO

import soundfile

from mer.corpus.containers.extent import Extent, size_of

MAGIC = b"fLaC"
_TAIL = 2**17
"""Bytes in which the last frame is looked for; larger ones are decoded."""
_BLOCK = 1024


def flac_extent(file: BinaryIO, path: Path) -> Extent | None:
    """Look for the last frame at the end of the file; what does not end with it is decoded and counted.

    Args:
        file: at `fLaC`.
        path: of the same file.

    Returns:
        None where the header is cut, or its writer did not know the number of samples.
    """
    start = file.tell()
    head = file.read(42)[8:]
    if len(head) < 34:
        return None
    rate = int.from_bytes(head[10:13]) >> 4
    total = int.from_bytes(head[13:18]) & (1 << 36) - 1
    block = int.from_bytes(head[:2])
    if not total or not rate:
        return None
    end = size_of(file)
    file.seek(max(start, end - _TAIL))
    tail = file.read()
    if tail[-128:-125] == b"TAG":  # ID3v1
        tail = tail[:-128]
    if _ends_with_last_frame(tail, total, block):
        return Extent(promised=total / rate, there=total / rate, whole=True)
    decoded = _decoded(path)
    return Extent(
        promised=total / rate,
        there=decoded / rate,
        whole=decoded >= total,
        missing=f"the last {max(0, total - decoded):,} samples",
    )


def _decoded(path: Path) -> int:
    """Samples that decode before the end or an error."""
    count = 0
    try:
        with soundfile.SoundFile(str(path)) as sound:
            while found := len(sound.read(_BLOCK, dtype="int16", always_2d=True)):
                count += found
    except soundfile.SoundFileError:
        pass
    return count


def _ends_with_last_frame(tail: bytes, total: int, block: int) -> bool:
    """Whether a frame that ends with the last sample ends here, by its checksums."""
    place = tail.rfind(b"\xff")
    while place >= 0:
        if _last_sample(tail[place : place + 16], block) == total:
            return _crc(tail[place:], 0x8005, 16) == 0
        place = tail.rfind(b"\xff", 0, place)
    return False


def _last_sample(head: bytes, block: int) -> int | None:
    """Number of the sample after a frame's last one; None for what is no head of a frame (RFC 9639, section 9.1)."""
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    variable, size_code, rate_code = head[1] & 1, head[2] >> 4, head[2] & 15
    if not size_code or rate_code == 15:
        return None
    lead, place = head[4], 5
    extra = 0 if lead < 0x80 else 8 - (lead ^ 0xFF).bit_length() - 1
    if (0x80 <= lead < 0xC0) or extra > 6:
        return None
    number = lead if not extra else lead & (0x3F >> extra)
    for byte in head[place : place + extra]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    place += extra
    wide = {6: 1, 7: 2}.get(size_code, 0)
    if wide:
        size = int.from_bytes(head[place : place + wide]) + 1
    else:
        size = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    place += wide + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(head) <= place or _crc(head[:place], 0x07, 8) != head[place]:
        return None
    return number + size if variable else number * block + size


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    table, mask = _crc_table(polynomial, bits), (1 << bits) - 1
    value = 0
    for byte in data:
        value = (value << 8 & mask) ^ table[(value >> bits - 8) ^ byte]
    return value


@cache
def _crc_table(polynomial: int, bits: int) -> tuple[int, ...]:
    top, mask, table = 1 << bits - 1, (1 << bits) - 1, []
    for byte in range(256):
        entry = byte << bits - 8
        for _ in range(8):
            entry = (entry << 1 ^ polynomial if entry & top else entry << 1) & mask
        table.append(entry)
    return tuple(table)
