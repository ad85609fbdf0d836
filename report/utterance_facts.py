"""What a corpus says about an utterance, as far as it is at hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceFacts:
    """One test utterance; everything but the session may be missing."""

    id: str
    """Unique in its corpus."""
    session: str
    """Fold unit."""
    speaker: str = ""
    """Who speaks; empty where unknown."""
    style: str = ""
    """`improvised`, `scripted`, or empty."""
    text: str | None = None
    """Transcript; None where unknown."""
    seconds: float | None = None
    """Duration."""
    words: tuple[tuple[str, float, float], ...] = ()
    """Word, start and end in seconds."""
    phones: tuple[tuple[str, float, float], ...] = ()
    """Phone, start and end in seconds."""
    syllables: tuple[tuple[str, float, float], ...] = ()
    """Syllable as its phones (`EH_K_S`), start and end in seconds."""
    peaks: tuple[int, ...] = ()
    """Largest amplitude of each of equal stretches, 0 to 99; empty without audio."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """What else the corpus says: dialogue, split, number of votes, and each column of its table."""
    audio: str = ""
    """Where the page finds the recording: a relative address or a `data:` one; empty without audio."""


Facts = Mapping[str, UtteranceFacts]
"""Utterance id to what is known about it."""
