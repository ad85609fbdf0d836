"""Which part of a corpus a command asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which part of a corpus is read, and how."""

    sessions: Sequence[str] | None = None
    """The sessions to keep; None = all."""
    labels: frozenset[str] | None = None
    """The labels to keep, as the corpus spells them; None = all."""
    audio_root: Path | None = None
    """Folder that the paths of recordings are relative to; None = where the corpus says."""
    encoding: str | None = None
    """What its tables are written in; None = UTF-8, or UTF-16 with its mark."""
    alignment_offset_ms: int = 0
    """Milliseconds that are added to the times of the corpus' own alignments, >= 0."""


ALL = Wanted()
"""Every utterance, as the corpus has it."""
