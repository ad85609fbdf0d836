"""The bytes of `.wdseg`, `.phseg` and `.syseg`: forced alignments as CMU sphinx3_align prints them.

Formats: sphinxtrain, src/programs/sphinx3_align/main_align.c, lines 500 to 640 (printf formats); phones are
named as mdef_phone_str does, `BASE LEFT RIGHT position`. The `.syseg` columns are those its readers expect.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from mer.corpus.arpabet import to_arpabet
from mer.corpus.syllables import syllabify
from mer.corpus.synthetic.recording import SAMPLE_RATE, Recording, SpokenWord

_FRAMES_PER_SECOND = 100
_SHORTEST = 3
"""Frames: Sphinx phones have three states, each at least one frame."""

_WORD_HEADER = f"\t{'SFrm':>5} {'EFrm':>5} {'SegAScr':>10} Word\n"
_PHONE_HEADER = f"\t{'SFrm':>5} {'EFrm':>5} {'SegAScr':>9} Phone\n"
_SYLLABLE_HEADER = f"{'SFrm':>5} {'EFrm':>5} Syllable\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class SphinxFiles:
    """The three files of one utterance."""

    wdseg: bytes
    """Words."""
    phseg: bytes
    """Phones, named as triphones."""
    syseg: bytes
    """Syllables; silences and fillers are gaps."""


HEADERS_ONLY = SphinxFiles(wdseg=_WORD_HEADER.encode(), phseg=_PHONE_HEADER.encode(), syseg=_SYLLABLE_HEADER.encode())
"""What an aligner leaves that found nothing to align."""


@dataclass(kw_only=True)
class Pronunciations:
    """Which ways of saying a word were heard: the second is written `WORD(2)`, as in a Sphinx dictionary."""

    _heard: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)

    def name(self, word: SpokenWord) -> str:
        """The word, with the number of its pronunciation from the second on."""
        if word.text.startswith("+"):
            return word.text
        variants = self._heard.setdefault(word.text, [])
        phones = tuple(phone.symbol for phone in word.phones)
        if phones not in variants:
            variants.append(phones)
        number = variants.index(phones) + 1
        return word.text if number == 1 else f"{word.text}({number})"


@dataclass(frozen=True, slots=True)
class _Row:
    """One phone or pause in frames, the last one inclusive."""

    symbol: str
    word: int
    first: int
    last: int


def sphinx_files(recording: Recording, pronunciations: Pronunciations, seed: str) -> SphinxFiles:
    """Write down a recording's exact times on the aligner's frame grid.

    Args:
        recording: with at least one word.
        pronunciations: heard so far; grows.
        seed: of the acoustic scores, which mean nothing here.
    """
    dice = random.Random(seed)
    rows = _frame_grid(recording)
    words = [pronunciations.name(word) for word in recording.words]
    return SphinxFiles(
        wdseg=_word_file(rows, words, dice).encode(),
        phseg=_phone_file(rows, dice).encode(),
        syseg=_syllable_file(rows, words).encode(),
    )


def _frame_grid(recording: Recording) -> list[_Row]:
    """Contiguous rows from frame 0 to the last whole frame, none shorter than three frames where they fit."""
    total = len(recording.samples) * _FRAMES_PER_SECOND // SAMPLE_RATE
    pieces: list[tuple[str, int, float]] = []
    now = 0.0
    for index, word in enumerate(recording.words):
        if not pieces or word.phones[0].start - now >= _SHORTEST / _FRAMES_PER_SECOND:
            pieces.append(("SIL", -1, word.phones[0].start))
        else:
            symbol, owner, _ = pieces.pop()
            pieces.append((symbol, owner, word.phones[0].start))
        pieces += [(phone.symbol, index, phone.end) for phone in word.phones]
        now = word.phones[-1].end
    pieces.append(("SIL", -1, len(recording.samples) / SAMPLE_RATE))
    shortest = _SHORTEST if len(pieces) * _SHORTEST <= total else 1
    ends: list[int] = []
    for _, _, end in pieces:
        ends.append(max(round(end * _FRAMES_PER_SECOND), (ends[-1] if ends else 0) + shortest))
    ends[-1] = total
    for index in range(len(ends) - 2, -1, -1):
        ends[index] = min(ends[index], ends[index + 1] - shortest)
    return [
        _Row(symbol, word, first, end - 1) for (symbol, word, _), first, end in zip(pieces, [0, *ends[:-1]], ends, strict=True)
    ]


def _word_file(rows: list[_Row], words: list[str], dice: random.Random) -> str:
    lines, total = [_WORD_HEADER], 0
    spans: list[tuple[str, int, int]] = []
    previous = None
    for index, row in enumerate(rows):
        if row.word >= 0 and row.word == previous:
            spans[-1] = (spans[-1][0], spans[-1][1], row.last)
        else:
            pause = "<s>" if index == 0 else "</s>" if index == len(rows) - 1 else "<sil>"
            spans.append((words[row.word] if row.word >= 0 else pause, row.first, row.last))
        previous = row.word
    for name, first, last in spans:
        score = _score(first, last, dice)
        total += score
        lines.append(f"\t{first:5d} {last:5d} {score:10d} {name}\n")
    return "".join([*lines, _total(total)])


def _phone_file(rows: list[_Row], dice: random.Random) -> str:
    lines, total = [_PHONE_HEADER], 0
    context = ["SIL" if row.symbol.startswith("+") else row.symbol for row in rows]
    for index, row in enumerate(rows):
        name = row.symbol
        if row.word >= 0 and not name.startswith("+"):
            begins, ends = rows[index - 1].word != row.word, rows[index + 1].word != row.word
            position = "s" if begins and ends else "b" if begins else "e" if ends else "i"
            name = f"{name} {context[index - 1]} {context[index + 1]} {position}"
        score = _score(row.first, row.last, dice)
        total += score
        lines.append(f"\t{row.first:5d} {row.last:5d} {score:9d} {name}\n")
    return "".join([*lines, _total(total)])


def _syllable_file(rows: list[_Row], words: list[str]) -> str:
    lines = [_SYLLABLE_HEADER]
    by_word: dict[int, list[_Row]] = {}
    for row in rows:
        if row.word >= 0 and not words[row.word].startswith("+"):
            by_word.setdefault(row.word, []).append(row)
    for phones in by_word.values():
        for start, end in syllabify([phone.symbol for phone in phones]):
            syllable = phones[start:end]
            name = "_".join(phone.symbol for phone in syllable)
            lines.append(f"{syllable[0].first:5d} {syllable[-1].last:5d} {name}\n")
    return "".join(lines)


def _total(score: int) -> str:
    return f" Total score: {score:11d}\n"


def _score(first: int, last: int, dice: random.Random) -> int:
    return -sum(dice.randrange(2_000, 60_000) for _ in range(first, last + 1))


def exact_times(recording: Recording) -> Mapping[str, object]:
    """Words and phones (39 ARPAbet) as `[label, start, end]` in seconds, before any rounding to frames."""
    return {
        "seconds": len(recording.samples) / SAMPLE_RATE,
        "words": [[word.text, round(word.phones[0].start, 6), round(word.phones[-1].end, 6)] for word in recording.words],
        "phones": [
            [to_arpabet(phone.symbol), round(phone.start, 6), round(phone.end, 6)]
            for word in recording.words
            for phone in word.phones
        ],
    }
