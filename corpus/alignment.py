"""Forced alignments: which phone, syllable or word is spoken when."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from mer.corpus.unspoken import is_filler


class AlignmentError(ValueError):
    """An alignment file that cannot be trusted: malformed, overlapping, or ending before it starts."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One labelled stretch of an utterance, [start_ms, end_ms) in integer milliseconds from its first sample.

    Integers because times on a 10 ms grid do not survive floats (`floor(0.58 * 50)` is 28).
    """

    label: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Alignment:
    """The tiers of one utterance in time order; silences are already gone, fillers are kept.

    A tier without units is empty: the extraction then uses one segment over the whole utterance.
    """

    phones: tuple[Segment, ...]
    syllables: tuple[Segment, ...]
    words: tuple[Segment, ...]

    def without_fillers(self) -> "Alignment":
        """The same alignment without laughter, breath and other non-speech units."""
        return Alignment(
            phones=tuple(s for s in self.phones if not is_filler(s.label)),
            syllables=tuple(s for s in self.syllables if not is_filler(s.label)),
            words=tuple(s for s in self.words if not is_filler(s.label)),
        )


@runtime_checkable  # beartype checks arguments by isinstance
class AlignmentSource(Protocol):
    """Where an alignment comes from: hashable, picklable, and read only when asked."""

    @property
    def kind(self) -> str:
        """`corpus` (the corpus' own files), `textgrid`, or an aligner's name (TextGrids of `mer align`)."""
        ...

    @property
    def paths(self) -> tuple[Path, ...]:
        """The existing files that decide the alignment, in a fixed order (for fingerprints)."""
        ...

    def read(self) -> Alignment:
        """Parse the files.

        Raises:
            AlignmentError: naming file and line when they are malformed.
        """
        ...
