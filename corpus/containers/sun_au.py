"""Sun's and NeXT's `.au`, in either byte order."""

import struct
from typing import BinaryIO

from mer.corpus.containers.extent import Extent, is_unknown, size_of

MAGICS = (b".snd", b"dns.")
_SAMPLE_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
"""By encoding: u-law, 8 to 32 bits, float, double, A-law."""


def sun_au_extent(file: BinaryIO) -> Extent | None:
    """Compare the size in the header with the file.

    Returns:
        None where the header is cut, or its writer did not know the size.
    """
    head = file.read(24)
    if len(head) < 24:
        return None
    order = ">" if head[:4] == b".snd" else "<"
    start, size, encoding, rate, channels = struct.unpack(f"{order}4x5I", head)
    bytes_per_second = _SAMPLE_BYTES.get(encoding, 0) * rate * channels
    return None if is_unknown(size) else Extent.of_bytes(size, size_of(file) - start, bytes_per_second)
