"""Alignments as CMU Sphinx writes them: the `.wdseg`, `.phseg` and `.syseg` files of IEMOCAP."""

import re
from dataclasses import dataclass
from pathlib import Path

from mer.corpus.alignment import Alignment, AlignmentError, Segment
from mer.corpus.arpabet import to_arpabet
from mer.corpus.syllables import syllable_segments
from mer.corpus.unspoken import is_filler, is_silence

FRAME_MS = 10
"""Sphinx counts frames of 10 ms from the first sample of the utterance."""

MAX_BYTES = 4 * 2**20
"""Larger files are refused: ten minutes of speech take some 300 kB."""

# The row formats of sphinx3_align, main_align.c in https://github.com/cmusphinx/sphinxtrain at e0caeee.
_SCORED_ROW = re.compile(r"([0-9]{1,9})\s+([0-9]{1,9})\s+-?[0-9]{1,19}\s+(\S.*)", re.ASCII)
# Syllable rows have no score; one is skipped where a file has it.
_SYLLABLE_ROW = re.compile(r"([0-9]{1,9})\s+([0-9]{1,9})\s+(?:-?[0-9]{1,19}\s+)?(\S.*)", re.ASCII)
_HEADER = re.compile(r"SFrm\b", re.ASCII | re.IGNORECASE)
_TOTAL = re.compile(r"Total score\b", re.ASCII | re.IGNORECASE)
_VARIANT = re.compile(r"\([0-9]+\)$")


@dataclass(frozen=True, slots=True)
class _Row:
    start_ms: int
    end_ms: int
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SphinxAlignment:
    """The alignment files of one utterance; each may be absent, and then its tier is derived or empty."""

    wdseg: Path | None = None
    """Words."""
    phseg: Path | None = None
    """Phones, with their neighbours and their place in the word."""
    syseg: Path | None = None
    """Syllables. Absent or empty: derived from the phones by maximal onset, word by word."""
    offset_ms: int = 0
    """Added to all times, >= 0. Some readers of IEMOCAP use 20, two frames; most use 0."""

    def __post_init__(self) -> None:
        if self.offset_ms < 0:
            raise AlignmentError(f"alignment offset must be 0 ms or more, got {self.offset_ms}")

    @property
    def kind(self) -> str:
        """`corpus`: the corpus' own files."""
        return "corpus"

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those of words, phones and syllables that there are, in this order."""
        return tuple(path for path in (self.wdseg, self.phseg, self.syseg) if path is not None)

    def read(self) -> Alignment:
        """Parse the files.

        Words lose the number of their pronunciation (`DO(2)` -> `DO`); phones are folded onto ARPAbet.
        Without words, word spans come from the phones' places and are labelled by them (`D_UW`).

        Raises:
            AlignmentError: if a file cannot be read, or a row is malformed, ends before it starts or begins
                before the previous one has ended; names file and line.
        """
        word_rows = _rows(self.wdseg, _SCORED_ROW) if self.wdseg else []
        phone_rows = _rows(self.phseg, _SCORED_ROW) if self.phseg else []
        syllable_rows = _rows(self.syseg, _SYLLABLE_ROW) if self.syseg else []
        phones = tuple(self._segment(row, to_arpabet(row.label.split()[0])) for row in phone_rows)
        if self.wdseg:
            words = tuple(self._segment(row, _VARIANT.sub("", row.label) or row.label) for row in word_rows)
        else:
            words = self._words_from_places(phone_rows)
        syllables = tuple(self._segment(row, row.label) for row in syllable_rows)
        return Alignment(
            phones=phones,
            syllables=syllables or syllable_segments(phones, words),
            words=words,
        )

    def _segment(self, row: _Row, label: str) -> Segment:
        return Segment(label, row.start_ms + self.offset_ms, row.end_ms + self.offset_ms)

    def _words_from_places(self, rows: list[_Row]) -> tuple[Segment, ...]:
        """Words from the last column of `BASE LEFT RIGHT place`: b(egin), i(nternal), e(nd), s(ingle)."""
        words: list[Segment] = []
        open_rows: list[_Row] = []
        for row in rows:
            fields = row.label.split()
            place = fields[3] if len(fields) == 4 else ""
            if is_filler(row.label):
                words.append(self._segment(row, row.label))
            if place in ("b", "s"):
                open_rows = [row]
            elif open_rows and place in ("i", "e") and row.start_ms == open_rows[-1].end_ms:
                open_rows.append(row)
            else:
                open_rows = []
            if open_rows and place in ("e", "s"):
                label = "_".join(to_arpabet(r.label.split()[0]) for r in open_rows)
                span = _Row(open_rows[0].start_ms, row.end_ms, label)
                words.append(self._segment(span, label))
                open_rows = []
        return tuple(words)


def _rows(path: Path, pattern: re.Pattern[str]) -> list[_Row]:
    """The rows of a file that are not silence; a file may be empty or hold its header only."""
    rows: list[_Row] = []
    previous_end = 0
    header_allowed = True
    for number, line in enumerate(_read(path).split("\n"), start=1):
        line = line.strip()
        if not line or _TOTAL.match(line):
            continue
        match = pattern.fullmatch(line)
        if match is None:
            # The words of the header of .syseg are not documented: any first line of words will do.
            undocumented = pattern is _SYLLABLE_ROW and line.split()[0].isalpha()
            if header_allowed and (_HEADER.match(line) or undocumented):
                header_allowed = False
                continue
            raise AlignmentError(
                f"{path}:{number}: expected `start-frame end-frame ... label`, got {line[:60]!r}; "
                "restore the file from the corpus, or remove it to go on without"
            )
        header_allowed = False
        first, last = int(match[1]), int(match[2])
        if last < first:
            raise AlignmentError(f"{path}:{number}: ends before it starts (frames {first} to {last})")
        if first < previous_end:
            raise AlignmentError(
                f"{path}:{number}: frames {first} to {last} overlap the row before, which ends with frame {previous_end - 1}"
            )
        previous_end = last + 1  # EFrm is the last frame, not the one after
        if not is_silence(match[3]):
            rows.append(_Row(first * FRAME_MS, previous_end * FRAME_MS, match[3]))
    return rows


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AlignmentError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(data) > MAX_BYTES:
        raise AlignmentError(f"{path}: larger than {MAX_BYTES} bytes, which no alignment of one utterance is")
    return data.decode("latin-1")
