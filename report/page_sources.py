"""Where a page finds what it says of utterances beside their scores."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class PageSources:
    """Corpus and cache, and what becomes of recordings."""

    corpus: Path
    """Transcripts, alignments and recordings; it may be missing where nobody named it."""
    named: bool
    """Whether somebody named the corpus; another corpus that only lies here is left alone."""
    cache: Path
    """Feature caches, which have transcripts and speakers where there is no corpus."""
    audio_root: Path | None = None
    """Folder that the paths of a table's recordings are relative to; None = where the corpus says."""
    encoding: str | None = None
    """What its tables are written in; None = UTF-8, or UTF-16 with its mark."""
    audio: str = "link"
    """What becomes of recordings: `link`, `embed` or `none`."""
    audio_limit: float = 0.0
    """Megabytes of recordings to embed."""
