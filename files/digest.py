"""The digest of a file's content."""

import hashlib
from pathlib import Path


def file_sha256(file: Path) -> str:
    """Hex SHA-256 of a file's bytes, read as a stream.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb", buffering=0) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
