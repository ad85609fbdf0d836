"""Which of several files is the one of a recording: that whose folders end most like the recording's."""

from collections.abc import Sequence
from itertools import takewhile


def shared_folders(folders: Sequence[str], others: Sequence[str]) -> int:
    """How many folders two paths end with alike."""
    pairs = zip(reversed(folders), reversed(others), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
