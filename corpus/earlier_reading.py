"""Whether an alignment was read otherwise before pauses of all aligners were known: what was made of it then is stale.

Can go when `cache.FORMAT_VERSION` is raised: no cache of that time is read any more.
"""

from mer.corpus.alignment import AlignmentError, AlignmentSource
from mer.corpus.part import PartAlignment
from mer.corpus.praat_alignment import TextGridAlignment
from mer.corpus.unspoken import is_filler, is_pause_word, is_silence

_SILENCES = frozenset({"", "<s>", "</s>", "<sil>", "sil", "sp", "sp1", "<eps>", "pau", "#"})
_FILLERS = frozenset({"spn", "<unk>", "<breath>"})


def was_read_otherwise(source: AlignmentSource | None) -> bool:
    """Whether a TextGrid has labels that were taken for units or words, or more intervals than it says."""
    source = source.source if isinstance(source, PartAlignment) else source
    if not isinstance(source, TextGridAlignment):
        return False
    try:
        tiers = source.tiers()
    except AlignmentError:
        return False
    return any(
        len(tier.intervals) > 0 and (tier.has_more_than_it_says or any(_changed(interval.label) for interval in tier.intervals))
        for tier in tiers.values()
    )


def _changed(label: str) -> bool:
    label = label.strip()
    silent = label.lower() in _SILENCES
    filled = label.lower() in _FILLERS or (label[:1], label[-1:]) in {("+", "+"), ("[", "]")}
    unspoken = is_silence(label) or is_pause_word(label)
    return silent != unspoken or (not unspoken and filled != is_filler(label))
