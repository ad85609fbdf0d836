"""Alignments in NIST's CTM, as Kaldi and NeMo write them: a line has recording, channel, start, duration in seconds and label.

https://github.com/usnistgov/SCTK, "ctm" among its input formats. A file is of many recordings and of one tier.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path

from mer.corpus.alignment import Alignment, AlignmentError
from mer.corpus.json_alignment import POSITION
from mer.corpus.praat_alignment import KINDS, alignment_of
from mer.corpus.textgrid_parser import DIGITS, Interval, TextGridError, Tier, in_order
from mer.files.regular_file import read_text_file

ENDING = ".ctm"
OTHER_TIERS = frozenset({"token", "tokens", "segment", "segments", "char", "chars"})
"""What NeMo calls files of pieces of words, and of whole texts: no tier of ours."""
ROUNDING = 0.011
"""Seconds by which neighbours may overlap where start and duration are each rounded to 10 ms."""
_EXPECTED = "expected recording, channel, start, duration (seconds) and label"


@dataclass(frozen=True, kw_only=True, slots=True)
class CtmAlignment:
    """The lines of one recording in CTM files, one file for each tier."""

    files: tuple[tuple[str, Path], ...]
    """Tier (`words`, `phones`, `syllables`) and file."""
    recording: str
    """What the first column calls it."""
    channel: int | None = None
    """Which channel, counted from 1 (A is 1); None = the only one there is."""
    kind: str = "textgrid"
    """Recorded with the features."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(path for _, path in self.files)

    def read(self) -> Alignment:
        """The tiers; an overlap that rounding explains ends where the later unit begins.

        Raises:
            AlignmentError: a file that cannot be read, units that overlap, or channels of which none is asked for.
        """
        tiers = {}
        for tier, path in self.files:
            channels = read_ctm(path).get(self.recording, {})
            channel = next(iter(channels), 1) if self.channel is None and len(channels) < 2 else self.channel
            units = None if channel is None else channels.get(channel)
            if units is None:
                there = ", ".join(map(str, channels)) or "none"
                raise AlignmentError(
                    f"{path}: {self.recording!r} has the channels {there}, and the utterance is of {channel or 'all'}: say which "
                    "one it is of in a column `channel`"
                )
            try:
                tiers[tier] = Tier(tier, in_order(_unrounded(units, tier), 0.0, float("inf")))
            except TextGridError as error:
                raise AlignmentError(f"{path}: {self.recording!r}: {error}; align it again") from error
        return alignment_of(self.paths[0], tiers)


def tier_of(path: Path) -> str | None:
    """The tier that a file's name, or that of its folder, says; words where they say none, None for what is no tier of ours."""
    for name in (path.stem, path.parent.name):
        words = re.findall(r"[^\W_]+", name.casefold())
        found = [KINDS[word] for word in words if word in KINDS]
        if found:
            return found[0]
        if OTHER_TIERS & set(words):
            return None
    return "words"


def read_ctm(path: Path) -> Mapping[str, Mapping[int, tuple[Interval, ...]]]:
    """Recording to channel to its units, in seconds, in the order of the file; kept until the file changes.

    Raises:
        AlignmentError: it cannot be read, a line is none of CTM, or labels are numbers for which a list of symbols is needed.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise AlignmentError(f"{path}: cannot be read ({error.strerror or error})") from error
    return _parsed(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _parsed(path: Path, *state: int) -> dict[str, dict[int, tuple[Interval, ...]]]:
    try:
        text = read_text_file(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AlignmentError(f"{path}: cannot be read as UTF-8 ({error})") from error
    found: dict[str, dict[int, list[Interval]]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith(";;"):
            continue
        try:
            recording, channel, interval = _unit(line.split())
        except ValueError as error:
            raise AlignmentError(f"{path}: line {number}: {error}; {_EXPECTED}, got {line.strip()[:60]!r}") from None
        found.setdefault(recording, {}).setdefault(channel, []).append(interval)
    labels = {each.label for channels in found.values() for units in channels.values() for each in units}
    if labels and all(label.isdecimal() for label in labels):
        raise AlignmentError(f"{path}: its labels are numbers; write symbols instead of them (Kaldi's int2sym.pl)")
    return {
        # Some count channels from 0.
        name: {channel + (0 in channels): tuple(units) for channel, units in channels.items()}
        for name, channels in found.items()
    }


def _unit(fields: list[str]) -> tuple[str, int, Interval]:
    if len(fields) < 5:
        raise ValueError(f"{len(fields)} columns")
    recording, channel, start, duration, label = fields[:5]
    if "*" in (start, duration) or label.upper().startswith("<ALT"):
        raise ValueError("alternatives, of which none is chosen")
    number = ord(channel.upper()) - ord("A") + 1 if re.fullmatch("[A-Za-z]", channel) else int(channel)
    first, length = float(start), float(duration)
    if number < 0 or not isfinite(first + length) or first < 0 or length < 0:
        raise ValueError("a channel or time that cannot be")
    return recording, number, Interval(round(first, DIGITS), round(first + length, DIGITS), label)


def _unrounded(units: tuple[Interval, ...], tier: str) -> list[Interval]:
    """In time order, overlaps of rounding taken away; phones without Kaldi's place in the word."""
    ordered = sorted(units, key=lambda unit: (unit.start, unit.end))
    kept: list[Interval] = []
    for unit in ordered:
        if kept and unit.start < kept[-1].end <= unit.start + ROUNDING:
            kept[-1] = Interval(kept[-1].start, max(kept[-1].start, unit.start), kept[-1].label)
        kept.append(Interval(unit.start, unit.end, POSITION.sub("", unit.label) if tier == "phones" else unit.label))
    return kept
