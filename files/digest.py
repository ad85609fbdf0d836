"""The digest of a file's content."""

import hashlib
from pathlib import Path

from mer.files.regular_file import open_file


def file_sha256(file: Path) -> str:
    """Hex SHA-256 of a file's bytes, read as a stream.

    Raises:
        OSError: it cannot be read.
    """
    with open_file(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
