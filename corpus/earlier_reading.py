"""Alignments that were read otherwise before pauses of all aligners, then syllables of all phones, were known: stale then.

Can go when `cache.FORMAT_VERSION` is raised: no cache of that time is read any more.
"""

from collections.abc import Mapping

from mer.corpus.alignment import AlignmentError, AlignmentSource
from mer.corpus.arpabet import PHONES, to_arpabet
from mer.corpus.part import PartAlignment
from mer.corpus.praat_alignment import TextGridAlignment
from mer.corpus.textgrid_parser import Tier
from mer.corpus.unspoken import is_filler, is_pause_word, is_silence

_SILENCES = frozenset({"", "<s>", "</s>", "<sil>", "sil", "sp", "sp1", "<eps>", "pau", "#"})
_FILLERS = frozenset({"spn", "<unk>", "<breath>"})


def changed_reading(source: AlignmentSource | None) -> bytes:
    """What of an alignment was read otherwise: pauses of all aligners, and syllables of phones that are not ARPAbet.

    Returns:
        For an utterance's fingerprint; empty where it was read as now.
    """
    source = source.source if isinstance(source, PartAlignment) else source
    if not isinstance(source, TextGridAlignment):
        return b""
    try:
        tiers = source.tiers()
    except AlignmentError:
        return b""
    pauses = any(
        len(tier.intervals) > 0 and (tier.has_more_than_it_says or any(_changed(interval.label) for interval in tier.intervals))
        for tier in tiers.values()
    )
    phones = [label for label in _units(tiers, "phones") if not is_filler(label)]
    sonority = not _units(tiers, "syllables") and not all(to_arpabet(label) in PHONES for label in phones)
    return (b"pauses of all aligners" if pauses else b"") + (b"syllables by sonority" if sonority else b"")


def _units(tiers: Mapping[str, Tier], kind: str) -> list[str]:
    found = tiers.get(kind)
    return [] if found is None else [each.label.strip() for each in found.intervals if not is_silence(each.label)]


def _changed(label: str) -> bool:
    label = label.strip()
    silent = label.lower() in _SILENCES
    filled = label.lower() in _FILLERS or (label[:1], label[-1:]) in {("+", "+"), ("[", "]")}
    unspoken = is_silence(label) or is_pause_word(label)
    return silent != unspoken or (not unspoken and filled != is_filler(label))
