"""Which part of a corpus a command asks for."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which part of a corpus is read, and how."""

    sessions: Sequence[str] | None = None
    """The sessions to keep; None = all."""
    labels: frozenset[str] | None = None
    """The labels to keep, as the corpus spells them; None = all."""
    alignment_offset_ms: int = 0
    """Milliseconds that are added to the times of the corpus' own alignments, >= 0."""
