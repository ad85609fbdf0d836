"""A transcript in the symbols of a CTC speech recogniser's vocabulary: letters, in any script that puts spaces between words."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mer.corpus.aligner.spoken_words import Spoken, cut_at_tags, tag_label

SAID = frozenset("&%@#*§")
"""Marks that are read aloud: those without a symbol are counted, unlike the silent ones."""
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u00b4": "'", "`": "'", "\u2010": "-", "\u2011": "-"})
_DASHES = re.compile("[-\u2012-\u2015/]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """The symbols of a recogniser."""

    symbols: Mapping[str, int]
    """One character each, to its number."""
    blank: int
    """CTC's blank."""
    delimiter: int | None
    """What stands between two words; None where nothing does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpelledText:
    """A transcript, spelled."""

    spoken: tuple[Spoken, ...]
    """Words and fillers in their order."""
    letters: tuple[tuple[int, ...], ...]
    """The symbols of each word, fillers left out; none where the vocabulary has no character of it."""
    lacking: Mapping[str, int]
    """Characters that were passed over because the vocabulary lacks them, and how often."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Words without a symbol, once each."""
        words = [one.label for one in self.spoken if not one.is_tag]
        return tuple(dict.fromkeys(word for word, letters in zip(words, self.letters, strict=True) if not letters))


def spell(text: str, vocabulary: Vocabulary) -> SpelledText:
    """Spell a transcript.

    A character is taken as it is written, or else in the other case, whichever the vocabulary has. Words are what white space
    parts, and hyphens, dashes and slashes that the vocabulary lacks. Punctuation is silent. Letters, digits and other signs that
    the vocabulary lacks are passed over and counted.

    Args:
        text: as the corpus has it.
        vocabulary: of the recogniser.
    """
    spoken: list[Spoken] = []
    letters: list[tuple[int, ...]] = []
    lacking: Counter[str] = Counter()
    for piece, is_tag in cut_at_tags(unicodedata.normalize("NFC", text)):
        if is_tag:
            spoken += [Spoken(label, True)] if (label := tag_label(piece)) else []
            continue
        for word in _words(piece, vocabulary):
            symbols = [_symbol(character, vocabulary) for character in word]
            own = tuple(symbol for symbol in symbols if symbol is not None)
            unheard = [each for each, symbol in zip(word, symbols, strict=True) if symbol is None and not _is_silent(each)]
            if own or unheard:
                spoken.append(Spoken(_label(word), False))
                letters.append(own)
                lacking.update(unheard)
    return SpelledText(spoken=tuple(spoken), letters=tuple(letters), lacking=dict(lacking))


def _words(piece: str, vocabulary: Vocabulary) -> Iterator[str]:
    known = vocabulary.symbols
    yield from _DASHES.sub(lambda mark: mark[0] if mark[0] in known else " ", piece.translate(_APOSTROPHES)).split()


def _symbol(character: str, vocabulary: Vocabulary) -> int | None:
    found = (vocabulary.symbols.get(each) for each in (character, character.lower(), character.upper()))
    return next((symbol for symbol in found if symbol is not None), None)


def _is_silent(character: str) -> bool:
    return unicodedata.category(character)[0] in "PC" and character not in SAID


def _label(word: str) -> str:
    """The word in small letters, without the marks around it."""
    first = next((place for place, each in enumerate(word) if each.isalnum()), 0)
    last = next((place for place in range(len(word), 0, -1) if word[place - 1].isalnum()), len(word))
    return word[first:last].lower() if first < last else word
