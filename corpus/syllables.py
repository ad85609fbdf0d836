"""Syllables from phones: maximal onset within a word, and the grouping of timed phones under timed words."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from mer.corpus.alignment import Segment
from mer.corpus.arpabet import VOWELS, to_arpabet
from mer.corpus.sonority import is_arpabet, syllabify_by_sonority
from mer.corpus.unspoken import is_filler

_CLUSTERS = {
    "R": "P B T D K G F TH SH",
    "L": "P B K G F S",
    "W": "T D K G TH S HH",
    "P": "S",
    "T": "S",
    "K": "S",
    "M": "S",
    "N": "S",
    "F": "S",
    "Y": "P B T D K G F V TH S M N L HH",
}
LEGAL_ONSETS: frozenset[tuple[str, ...]] = frozenset(
    {(first, second) for second, firsts in _CLUSTERS.items() for first in firsts.split()}
    | {("S", *pair.split()) for pair in ("P R", "T R", "K R", "P L", "K L", "K W", "P Y", "T Y", "K Y")}
)
"""Consonant clusters that can begin an English syllable. One consonant alone always can, except `NG`."""


def _onset_length(interlude: Sequence[str]) -> int:
    """Length of the longest suffix of the consonants between two vowels that can begin a syllable."""
    for length in (3, 2):
        if len(interlude) >= length and tuple(interlude[-length:]) in LEGAL_ONSETS:
            return length
    return 1 if interlude and interlude[-1] != "NG" else 0


def syllabify(phones: Sequence[str]) -> list[tuple[int, int]]:
    """Split the phones of one word into syllables by the maximal onset principle (Kahn, 1976).

    Every vowel is a nucleus. Of the consonants between two vowels the longest legal onset goes to the right
    syllable, the rest to the left.

    Args:
        phones: ARPAbet or the Sphinx set, with or without stress. A symbol in neither counts as a consonant.

    Returns:
        Half-open ranges that partition `phones`. A word without a vowel is one syllable; no phones, none.
    """
    folded = [to_arpabet(phone) for phone in phones]
    nuclei = [i for i, phone in enumerate(folded) if phone in VOWELS]
    if not folded:
        return []
    starts = [0]
    for left, right in pairwise(nuclei):
        starts.append(right - _onset_length(folded[left + 1 : right]))
    return list(zip(starts, [*starts[1:], len(folded)], strict=True))


def syllable_segments(phones: Sequence[Segment], words: Iterable[Segment]) -> tuple[Segment, ...]:
    """Group timed phones into timed syllables, labelled by their phones (`EH_K_S`).

    A phone belongs to the word in which its middle lies. Phones in no word (or all of them, where the words
    are not known) are taken together as far as they follow each other without a pause. A filler is a syllable
    of its own, so every phone is in exactly one syllable. Phones that are mostly not ARPAbet go by their sonority.

    Args:
        phones: in time order, without overlaps.
        words: in time order, without overlaps.
    """
    split = syllabify if is_arpabet([phone.label for phone in phones]) else syllabify_by_sonority
    syllables: list[Segment] = []
    group: list[Segment] = []
    group_word: Segment | None = None
    remaining = list(reversed(list(words)))
    for phone in phones:
        middle = phone.start_ms + phone.end_ms  # doubled, to stay in integers
        while remaining and middle >= 2 * remaining[-1].end_ms:
            remaining.pop()
        word = remaining[-1] if remaining and middle >= 2 * remaining[-1].start_ms else None
        apart = word is None and bool(group) and group[-1].end_ms != phone.start_ms
        if word is not group_word or apart or is_filler(phone.label):
            syllables += _syllables_of(group, split)
            group = []
        if is_filler(phone.label):
            syllables.append(phone)
        else:
            group.append(phone)
        group_word = word
    return (*syllables, *_syllables_of(group, split))


def _syllables_of(group: Sequence[Segment], split: Callable[[Sequence[str]], list[tuple[int, int]]]) -> list[Segment]:
    labels = [phone.label for phone in group]
    return [Segment("_".join(labels[start:end]), group[start].start_ms, group[end - 1].end_ms) for start, end in split(labels)]
