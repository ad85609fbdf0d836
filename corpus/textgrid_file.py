"""Writing Praat TextGrids, as the Montreal Forced Aligner does: long format, tiers that fill the whole utterance."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mer.corpus.alignment import Alignment, AlignmentError, Segment
from mer.files import write_file

SUFFIX = ".TextGrid"


def textgrid_name(utterance_id: str) -> str:
    """The file name of an utterance: its id, as a wav of that name would give; characters that no file system forbids."""
    return quote(utterance_id, safe=" !#$&'()+,;=@[]{}^~") + SUFFIX


TIERS = ("words", "phones", "syllables")
"""All tiers that there are, in the order in which they are written."""


def textgrid_text(alignment: Alignment, seconds: float, tiers: Sequence[str] = TIERS) -> str:
    """A TextGrid; pauses are intervals without a label.

    Args:
        alignment: in time order.
        seconds: of the audio; what reaches beyond is cut there.
        tiers: those that are written, some of `TIERS`.

    Raises:
        AlignmentError: segments that overlap, or are out of order.
    """
    end_ms = round(seconds * 1000)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", f"xmax = {_time(end_ms)} "]
    lines += ["tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for number, name in enumerate(tiers, start=1):
        intervals = _filled(getattr(alignment, name), end_ms, name)
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ', f'        name = "{name}" ']
        lines += ["        xmin = 0 ", f"        xmax = {_time(end_ms)} ", f"        intervals: size = {len(intervals)} "]
        for place, segment in enumerate(intervals, start=1):
            label = segment.label.replace('"', '""')
            lines += [f"        intervals [{place}]:", f"            xmin = {_time(segment.start_ms)} "]
            lines += [f"            xmax = {_time(segment.end_ms)} ", f'            text = "{label}" ']
    return "\n".join([*lines, ""])


def write_textgrid(path: Path, alignment: Alignment, seconds: float, tiers: Sequence[str] = TIERS) -> None:
    """Put a TextGrid of some tiers in place, whole or not at all.

    Raises:
        AlignmentError: segments that overlap, or are out of order.
        OSError: the file system refuses.
    """
    write_file(path, textgrid_text(alignment, seconds, tiers).encode())


def _time(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".")


def _filled(segments: Sequence[Segment], end_ms: int, tier: str) -> list[Segment]:
    """The segments within the audio, and an empty one in every gap."""
    filled: list[Segment] = []
    position = 0
    for segment in segments:
        if segment.start_ms < position or segment.end_ms <= segment.start_ms:
            raise AlignmentError(
                f"{tier}: {segment.label!r} from {segment.start_ms} to {segment.end_ms} ms begins before {position} ms, where "
                "the one before ends, or has no length; a TextGrid holds intervals in time order"
            )
        start, stop = segment.start_ms, min(segment.end_ms, end_ms)
        if start >= stop:
            continue
        if start > position:
            filled.append(Segment("", position, start))
        filled.append(Segment(segment.label, start, stop))
        position = stop
    if position < end_ms or not filled:
        filled.append(Segment("", position, end_ms))
    return filled
