"""The container of a file, told by its first bytes, and what it says of the file's end."""

import struct
from pathlib import Path
from typing import BinaryIO

from mer.corpus.containers import caf, counted_samples, iff, mpeg, ogg, riff, sphere, sun_au, wave64
from mer.corpus.containers.extent import Extent
from mer.corpus.containers.flac import MAGIC as FLAC_MAGIC
from mer.corpus.containers.flac import flac_extent
from mer.files.regular_file import open_file

MPEG_SUFFIXES = (".mp3", ".mp2", ".mp1", ".mpga")


def read_extent(path: Path) -> Extent | None:
    """What an audio file promises and holds.

    Returns:
        None where its container promises nothing (raw samples, IRCAM, PAF, PVF, SD2, a length that the writer did not
        know), or is not known here.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with open_file(path) as file:
            return _extent(file, path)
    except (struct.error, OverflowError, ValueError):  # a damaged header: the decoder will say what it makes of it
        return None


def _extent(file: BinaryIO, path: Path) -> Extent | None:
    start = _after_id3(file)
    file.seek(start)
    magic = file.read(20)
    file.seek(start)
    if magic[:4] == FLAC_MAGIC:
        return flac_extent(file, path)
    if start:  # tags come before FLAC and MPEG only
        return mpeg.mpeg_extent(file)
    for known, extent in (
        (riff.MAGICS, riff.riff_extent),
        ((b"FORM",), iff.iff_extent),
        ((wave64.MAGIC,), wave64.wave64_extent),
        ((caf.MAGIC,), caf.caf_extent),
        (sun_au.MAGICS, sun_au.sun_au_extent),
        ((sphere.MAGIC,), sphere.sphere_extent),
        ((ogg.MAGIC,), ogg.ogg_extent),
        ((counted_samples.AVR_MAGIC,), counted_samples.avr_extent),
        ((counted_samples.VOC_MAGIC,), counted_samples.voc_extent),
        ((counted_samples.WVE_MAGIC,), counted_samples.wve_extent),
    ):
        if magic.startswith(known):
            return extent(file)
    if magic.startswith(counted_samples.MPC_MAGIC):
        return counted_samples.mpc_extent(file)
    if path.suffix.lower() in MPEG_SUFFIXES or mpeg.begins_with_frame(magic):
        return mpeg.mpeg_extent(file)
    return None


def _after_id3(file: BinaryIO) -> int:
    """Where the file begins after ID3v2 tags: 10 bytes with the size of the rest in four times 7 bits."""
    start = 0
    while len(head := file.read(10)) == 10 and head[:3] == b"ID3":
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        start += 10 + size + (10 if head[5] & 0x10 else 0)
        file.seek(start)
    return start
