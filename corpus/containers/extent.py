"""How much audio a file promises and how much of it is there."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

UNKNOWN_FROM = 0x7F000000 - 0x1000
"""32-bit sizes from here on, 2 GB, are what writers to a pipe leave behind: they could not go back and put the size in."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a recording should be, and is.

    A container that promises no length, such as Ogg, still says where its stream ends.
    """

    promised: float | None
    """Seconds that the header promises; None where it gives no length."""
    there: float | None
    """Seconds of them that are in the file; None where that is not known."""
    whole: bool
    """Whether nothing is missing at the end."""
    missing: str = ""
    """What is missing, in words."""

    @classmethod
    def of_bytes(cls, promised: int, there: int, bytes_per_second: float) -> "Extent":
        """The extent of audio in which every second takes as many bytes.

        Args:
            promised: bytes of audio, as the header says.
            there: bytes from the first of them to the end of the file.
            bytes_per_second: 0 or less where the header is damaged: no seconds are told then.
        """
        there = max(0, min(promised, there))
        scale = bytes_per_second if bytes_per_second > 0 else None
        return cls(
            promised=promised / scale if scale else None,
            there=there / scale if scale else None,
            whole=there >= promised,
            missing=f"the last {promised - there:,} bytes",
        )

    def shortfall(self) -> str | None:
        """What to say of a recording that ends early; None for a whole one."""
        if self.whole:
            return None
        promised = "gives no length" if self.promised is None else f"promises {self.promised:.3f} s"
        there = "" if self.there is None else f", {self.there:.3f} s are there"
        return f"ends early: its header {promised}{there} (missing: {self.missing}); copy the file again"


def is_unknown(size: int) -> bool:
    """Whether a 32-bit size stands for a length that was not known when the header was written."""
    return size == 0 or size >= UNKNOWN_FROM


def chunks(file: BinaryIO, head: struct.Struct, *, even: int = 2) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk from here on; the file stands at the first byte of its content.

    Args:
        file: at the first chunk.
        head: name and size.
        even: chunks begin at multiples of so many bytes from each other.
    """
    while len(found := file.read(head.size)) == head.size:
        name, size = head.unpack(found)
        if size < 0:  # until the end of the file
            yield name, size
            return
        start = file.tell()
        yield name, size
        file.seek(start + size + -size % even)


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size
