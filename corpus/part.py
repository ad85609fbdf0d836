"""A part of a recording: from when to when, and of which channel."""

from dataclasses import dataclass
from pathlib import Path

from mer.corpus.alignment import Alignment, AlignmentSource, Segment

OVERHANG_SECONDS = 0.1
"""An alignment that ends so much later than its part is one of the whole recording."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where in its audio file an utterance is."""

    start: float = 0.0
    """Seconds from the beginning of the file."""
    end: float | None = None
    """Seconds from the beginning of the file; None = the end of the file."""
    channel: int | None = None
    """Which channel, counted from 1; None = the mean of all."""

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the file."""
        return self == WHOLE


WHOLE = Part()


@dataclass(frozen=True, kw_only=True, slots=True)
class PartAlignment:
    """The alignment of a part, out of one of the whole recording where the file is that.

    It is where the file is named after the recording, or ends after the part would.
    """

    source: AlignmentSource
    """That of the part, or of the recording."""
    part: Part
    """Which part."""
    of_recording: bool
    """Whether the file is named after the recording."""

    @classmethod
    def of(cls, source: AlignmentSource, part: Part, wav: Path, utterance_id: str) -> AlignmentSource:
        """The alignment of an utterance whose file has been found.

        Args:
            source: the file.
            part: what the utterance is of its recording.
            wav: the recording.
            utterance_id: a file named after the utterance is one of the utterance.
        """
        if (part.start, part.end) == (0.0, None):
            return source
        stem = source.paths[0].stem
        return cls(source=source, part=part, of_recording=stem == wav.stem and stem != utterance_id)

    @property
    def kind(self) -> str:
        """That of the file."""
        return self.source.kind

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those of the file."""
        return self.source.paths

    def read(self) -> Alignment:
        """The units whose middle lies in the part, cut to it, in milliseconds from its beginning.

        Raises:
            AlignmentError: as the file's own.
        """
        whole = self.source.read()
        start, end = self.part.start, self.part.end
        last = max((unit.end_ms for tier in (whole.phones, whole.syllables, whole.words) for unit in tier), default=0)
        if not self.of_recording and (end is None or last <= (end - start + OVERHANG_SECONDS) * 1000):
            return whole
        first_ms, last_ms = round(start * 1000), last if end is None else round(end * 1000)
        return Alignment(
            phones=_cut(whole.phones, first_ms, last_ms),
            syllables=_cut(whole.syllables, first_ms, last_ms),
            words=_cut(whole.words, first_ms, last_ms),
        )


def _cut(units: tuple[Segment, ...], start: int, end: int) -> tuple[Segment, ...]:
    return tuple(
        Segment(unit.label, max(unit.start_ms, start) - start, min(unit.end_ms, end) - start)
        for unit in units
        if start <= (unit.start_ms + unit.end_ms) / 2 < end
    )
