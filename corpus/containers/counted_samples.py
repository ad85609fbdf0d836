"""Small old formats with a fixed header: AVR, HTK, MPC 2000 and Psion's WVE, which count their samples, and VOC's blocks."""

import struct
from typing import BinaryIO

from mer.corpus.containers.extent import Extent, size_of

AVR_MAGIC = b"2BIT"
VOC_MAGIC = b"Creative Voice File\x1a"
WVE_MAGIC = b"ALawSoundFile**\0"
MPC_MAGIC = b"\x01\x04"
HTK_WAVEFORM = 0


def avr_extent(file: BinaryIO) -> Extent | None:
    """Compare the count in an AVR header with the file."""
    head = file.read(128)
    if len(head) < 128:
        return None
    stereo, bits, rate, count = struct.unpack(">12xHH6xII", head[:30])
    width = (bits + 7) // 8 * (2 if stereo else 1)
    return Extent.of_bytes(count * width, size_of(file) - 128, (rate & 0xFFFFFF) * width) if count else None


def wve_extent(file: BinaryIO) -> Extent | None:
    """Compare the count in a WVE header with the file: A-law at 8 kHz."""
    head = file.read(32)
    if len(head) < 32:
        return None
    count = struct.unpack(">18xI", head[:22])[0]
    return Extent.of_bytes(count, size_of(file) - 32, 8000) if count else None


def mpc_extent(file: BinaryIO) -> Extent | None:
    """Compare the count in an Akai MPC 2000 header with the file: 16 bits."""
    head = file.read(42)
    if len(head) < 42:
        return None
    stereo, count, rate = struct.unpack("<21xB8xI6xH", head)
    width = 2 * (2 if stereo else 1)
    return Extent.of_bytes(count * width, size_of(file) - 42, rate * width) if count else None


def htk_extent(file: BinaryIO) -> Extent | None:
    """Compare the count in an HTK header with the file; its samples last so many units of 100 ns."""
    head = file.read(12)
    if len(head) < 12:
        return None
    count, period, width, kind = struct.unpack(">IIHH", head)
    if kind != HTK_WAVEFORM or not period or width != 2:
        return None
    return Extent.of_bytes(count * width, size_of(file) - 12, width * 1e7 / period)


def voc_extent(file: BinaryIO) -> Extent | None:
    """Compare the blocks of sound in a VOC file with it: each has its size in 24 bits."""
    head = file.read(26)
    if len(head) < 26:
        return None
    total, bytes_per_second, promised, there = size_of(file), 0.0, 0, 0
    file.seek(struct.unpack("<20xH", head[:22])[0])
    while (kind := file.read(1)) and kind != b"\0" and len(size := file.read(3)) == 3:
        length, start = int.from_bytes(size, "little"), file.tell()
        skipped = {1: 2, 2: 0, 9: 12}.get(kind[0])
        if skipped is not None and length > skipped:
            fields = file.read(12).ljust(12, b"\0")
            if kind[0] == 9:
                rate, bits, channels = struct.unpack("<IBB", fields[:6])
                bytes_per_second = rate * bits / 8 * channels
            elif kind[0] == 1:
                bytes_per_second = 1e6 / (256 - fields[0])
            promised += length - skipped
            there += max(0, min(length, total - start) - skipped)
        file.seek(start + length)
    return Extent.of_bytes(promised, there, bytes_per_second) if promised else None
