"""Alignments in Praat TextGrids, as the Montreal Forced Aligner and `mer align` write them."""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textgrid import IntervalTier, TextGrid

from mer.corpus.alignment import Alignment, AlignmentError, Segment, is_filler, is_silence
from mer.corpus.arpabet import PHONES, to_arpabet
from mer.corpus.syllables import syllable_segments

MAX_BYTES = 16 * 2**20
"""Larger files are refused before they are parsed."""

_KINDS = {
    "words": "words",
    "word": "words",
    "phones": "phones",
    "phone": "phones",
    "syllables": "syllables",
    "syllable": "syllables",
}
_MAX_SECONDS = 1_000_000
_ABSENT = re.compile(r"^\s*(?:tiers\?\s*)?<absent>", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextGridAlignment:
    """One TextGrid with a `words` or a `phones` tier, or both, and possibly `syllables`.

    Long and short format; UTF-8 with or without a byte order mark, UTF-16 with one. Times are rounded to
    milliseconds; intervals that are then empty vanish, as the `textgrid` package drops those without a word.
    """

    path: Path
    """The TextGrid file."""
    speaker: str | None = None
    """Whose tiers to take where a file has several speakers (`<speaker> - words`)."""
    kind: str = "textgrid"
    """Recorded with the features; `pocketsphinx` for those of `mer align`."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def read(self) -> Alignment:
        """Parse the file.

        Tier names match in any case. Phones lose their stress digits (`AH0` -> `AH`); IPA stays as it is.
        Without a `syllables` tier, syllables are derived from the phones where all of them are ARPAbet or
        fillers. From IPA none are derived, as it does not say which symbols are nuclei: the tier is empty.

        Raises:
            AlignmentError: if the file is no TextGrid, has neither words nor phones for the speaker, or has
                intervals that overlap or start before 0; names the file and says what to do.
        """
        tiers = self._choose(_parse(self.path))
        words = _segments(self.path, tiers.get("words"))
        phones = tuple(
            Segment(to_arpabet(phone.label), phone.start_ms, phone.end_ms) for phone in _segments(self.path, tiers.get("phones"))
        )
        if "syllables" in tiers:
            syllables = _segments(self.path, tiers["syllables"])
        elif all(phone.label in PHONES or is_filler(phone.label) for phone in phones):
            syllables = syllable_segments(phones, words)
        else:
            syllables = ()
        return Alignment(phones=phones, syllables=syllables, words=words)

    def _choose(self, tiers: Sequence[IntervalTier]) -> dict[str, IntervalTier]:
        """The tiers of this speaker, else those of no speaker, else those of the only speaker, by kind."""
        speakers: dict[str, dict[str, IntervalTier]] = {}
        for tier in tiers:
            speaker, _, name = str(tier.name).strip().rpartition(" - ")
            kind = _KINDS.get(name.strip().lower())
            if kind is not None:
                speakers.setdefault(speaker.strip(), {}).setdefault(kind, tier)
        wanted = next((speaker for speaker in (self.speaker, "") if speaker in speakers), None)
        if wanted is None and len(speakers) > 1:
            raise AlignmentError(
                f"{self.path}: tiers of several speakers ({', '.join(sorted(speakers))}), none of them "
                f"{self.speaker!r}; give the utterance one of these as its speaker"
            )
        chosen = speakers.get(next(iter(speakers), "") if wanted is None else wanted, {})
        if "words" not in chosen and "phones" not in chosen:
            found = ", ".join(repr(str(tier.name)) for tier in tiers) or "none"
            raise AlignmentError(
                f"{self.path}: no interval tier named `words` or `phones` (found: {found}); "
                "rename the tiers, or align again with `mer align`"
            )
        return chosen


def _parse(path: Path) -> list[IntervalTier]:
    encoding = _encoding(path)
    grid = TextGrid()
    try:
        grid.read(str(path), round_digits=3, encoding=encoding)
    except ValueError as error:
        if len(error.args) == 2 and all(hasattr(part, "maxTime") for part in error.args):
            spans = sorted((part.minTime, part.maxTime, part.mark) for part in error.args)
            overlap = " and ".join(f"{mark!r} {start}-{end} s" for start, end, mark in spans)
            raise AlignmentError(
                f"{path}: intervals of one tier overlap, {overlap}; Praat cannot write this: export it again"
            ) from error
        if len(error.args) == 1 and isinstance(error.args[0], float):
            raise AlignmentError(
                f"{path}: an interval or tier reaches beyond the {error.args[0]} s of what holds it; "
                "correct its xmin or xmax, or align again"
            ) from error
        raise _unreadable(path, error) from error
    except Exception as error:
        # The parser of `textgrid` has no error of its own for most damage: IndexError, AttributeError, ...
        raise _unreadable(path, error) from error
    return [tier for tier in grid if isinstance(tier, IntervalTier)]


def _unreadable(path: Path, error: Exception) -> AlignmentError:
    reason = f"{type(error).__name__}: {error}"[:120]
    return AlignmentError(f"{path}: not a TextGrid that can be read ({reason}); open it in Praat and save it again as text")


def _encoding(path: Path) -> str:
    """The encoding of a file after checking that all of it decodes, so that labels are never garbled."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AlignmentError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not data.strip():
        raise AlignmentError(f"{path}: the file is empty; align the utterance again with `mer align`")
    if len(data) > MAX_BYTES:
        raise AlignmentError(f"{path}: larger than {MAX_BYTES >> 20} MiB; give one TextGrid per utterance")
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise AlignmentError(
            f"{path}: not {encoding.removesuffix('-sig').upper()} (byte {error.start}), perhaps Latin-1; "
            "convert it to UTF-8, or in Praat set the text writing preferences to UTF-8 and save it again"
        ) from error
    if _ABSENT.search(text[:1000]):
        raise AlignmentError(f"{path}: the TextGrid says it has no tiers (`<absent>`); align the utterance again")
    return encoding


def _segments(path: Path, tier: IntervalTier | None) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for interval in tier or ():
        label = " ".join(str(interval.mark).split())
        if is_silence(label):
            continue
        if not 0 <= interval.minTime < interval.maxTime < _MAX_SECONDS:
            raise AlignmentError(
                f"{path}: interval {label!r} from {interval.minTime} to {interval.maxTime} s is not within "
                f"0 to {_MAX_SECONDS} s; align the utterance again"
            )
        segments.append(Segment(label, round(interval.minTime * 1000), round(interval.maxTime * 1000)))
    return tuple(segments)
