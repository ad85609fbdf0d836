"""Alignments in Praat TextGrids, as `mer align`, the Montreal Forced Aligner, Charsiu and others write them."""

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.corpus.alignment import Alignment, AlignmentError, Segment
from mer.corpus.arpabet import to_arpabet
from mer.corpus.json_alignment import parse_json
from mer.corpus.syllables import syllable_segments
from mer.corpus.textgrid_parser import TextGridError, Tier, parse_textgrid
from mer.corpus.unspoken import is_pause_word, is_silence
from mer.files.regular_file import open_file

MAX_BYTES = 16 * 2**20
"""Larger files are refused before they are parsed."""

KINDS = {
    "words": "words",
    "word": "words",
    "phones": "phones",
    "phone": "phones",
    "syllables": "syllables",
    "syllable": "syllables",
    "ort-mau": "words",
    "mau": "phones",
    "mas": "syllables",
}
"""Tiers by name; the last three are WebMAUS': words, segments and syllables (KAN-MAU is the words once more, as phones)."""
SUFFIXES = (".textgrid", ".json")
"""Endings of files that are read, in any case: TextGrids, and the JSON of MFA, Gentle and WhisperX."""
_MAX_SECONDS = 1_000_000
_ABSENT = re.compile(r"^\s*(?:tiers\?\s*)?<absent>", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextGridAlignment:
    """One TextGrid, or JSON of an aligner, with a `words` or a `phones` tier, or both, and possibly `syllables`.

    Long and short format; UTF-8 with or without a byte order mark, UTF-16 with one. Times are rounded to
    milliseconds; intervals that are then empty vanish.
    """

    path: Path
    """The TextGrid file."""
    speaker: str | None = None
    """Whose tiers to take where a file has several speakers (`<speaker> - words`)."""
    kind: str = "textgrid"
    """Recorded with the features; the aligner's name for those of `mer align`."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def read(self) -> Alignment:
        """Parse the file.

        Tier names match in any case. Phones lose their stress digits (`AH0` -> `AH`); IPA stays as it is.
        Pauses are no units, as `is_silence` knows them; `silence` and `pause` without brackets are words only where
        phones are spoken in them. Without units in a `syllables` tier, syllables are derived from the phones: by
        maximal onset from ARPAbet, by sonority from others.

        Raises:
            AlignmentError: if the file is no TextGrid, has neither words nor phones for the speaker, or has
                intervals that overlap or start before 0; names the file and says what to do.
        """
        return alignment_of(self.path, self.tiers())

    def tiers(self) -> dict[str, Tier]:
        """The tiers `words`, `phones` and `syllables`, those that there are, as they are in the file.

        Raises:
            AlignmentError: as `read`.
        """
        return self._choose(_parse(self.path))

    def _choose(self, tiers: Sequence[Tier]) -> dict[str, Tier]:
        """The tiers of this speaker, else those of no speaker, else those of the only speaker, by kind."""
        speakers: dict[str, dict[str, Tier]] = {}
        for tier in tiers:
            speaker, _, name = tier.name.strip().rpartition(" - ")
            kind = KINDS.get(name.strip().lower())
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
            found = ", ".join(repr(tier.name) for tier in tiers) or "none"
            raise AlignmentError(
                f"{self.path}: no interval tier named `words` or `phones` (found: {found}); "
                "rename the tiers, or align again with `mer align`"
            )
        return chosen


def alignment_of(path: Path, tiers: Mapping[str, Tier]) -> Alignment:
    """The units of the tiers `words`, `phones` and `syllables`, as `TextGridAlignment.read` has them.

    Args:
        path: their file, for errors.
        tiers: those that there are.

    Raises:
        AlignmentError: an interval that starts before 0, or so late that it cannot be.
    """
    phones = tuple(Segment(to_arpabet(each.label), each.start_ms, each.end_ms) for each in _segments(path, tiers.get("phones")))
    words = _segments(path, tiers.get("words"), phones)
    syllables = _segments(path, tiers.get("syllables")) or syllable_segments(phones, words)
    return Alignment(phones=phones, syllables=syllables, words=words)


def _parse(path: Path) -> list[Tier]:
    is_json = path.suffix.lower() == ".json"
    try:
        return parse_json(_text(path)) if is_json else parse_textgrid(_text(path))
    except TextGridError as error:
        if is_json:
            raise AlignmentError(f"{path}: not an alignment that can be read ({error}); align the utterance again") from error
        raise AlignmentError(
            f"{path}: not a TextGrid that can be read ({error}); open it in Praat and save it again as text, or align again"
        ) from error


def _text(path: Path) -> str:
    """The text of a file, all of which decodes, so that labels are never garbled."""
    try:
        with open_file(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AlignmentError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not data.strip():
        raise AlignmentError(f"{path}: the file is empty; align the utterance again with `mer align`")
    if len(data) > MAX_BYTES:
        raise AlignmentError(f"{path}: larger than {MAX_BYTES >> 20} MiB; give one TextGrid per utterance")
    if data.startswith(b"ooBinaryFile"):
        raise AlignmentError(f"{path}: a binary TextGrid; open it in Praat and save it as text")
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
    return text


def _segments(path: Path, tier: Tier | None, spoken: Sequence[Segment] = ()) -> tuple[Segment, ...]:
    """The units of a tier.

    Args:
        path: of the file.
        tier: None gives no units.
        spoken: phones; a label that names a pause and may be a word is one where a phone is in it.
    """
    segments: list[Segment] = []
    for interval in () if tier is None else tier.intervals:
        label = " ".join(interval.label.split())
        if is_silence(label):
            continue
        if not 0 <= interval.start < interval.end < _MAX_SECONDS:
            raise AlignmentError(
                f"{path}: interval {label!r} from {interval.start} to {interval.end} s is not within "
                f"0 to {_MAX_SECONDS} s; align the utterance again"
            )
        segment = Segment(label, round(interval.start * 1000), round(interval.end * 1000))
        if not is_pause_word(label) or any(_holds(segment, phone) for phone in spoken):
            segments.append(segment)
    return tuple(segments)


def _holds(word: Segment, phone: Segment) -> bool:
    return word.start_ms <= (phone.start_ms + phone.end_ms) // 2 < word.end_ms
