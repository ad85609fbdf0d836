"""NIST SPHERE, in which the LDC publishes speech: a header of text, then samples."""

import re
from typing import BinaryIO

from mer.corpus.containers.extent import Extent, size_of

MAGIC = b"NIST_1A"
_FIELD = re.compile(rb"^(\w+) -[irs]\d* (\S+)", re.MULTILINE)


def sphere_extent(file: BinaryIO) -> Extent | None:
    """Compare `sample_count` with the file.

    Returns:
        None where the header gives no count, or the samples are compressed (`shorten`).
    """
    head = file.read(1024)
    fields = {name.decode(): value.decode("latin-1") for name, value in _FIELD.findall(head)}
    if "," in fields.get("sample_coding", ""):
        return None
    try:
        start = int(head[8:16])
        count, rate = int(fields["sample_count"]), float(fields["sample_rate"])
        width = int(fields.get("sample_n_bytes", "2")) * int(fields.get("channel_count", "1"))
    except (KeyError, ValueError):
        return None
    return Extent.of_bytes(count * width, size_of(file) - start, rate * width) if count > 0 and width > 0 else None
