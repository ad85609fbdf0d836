"""How far two sets of alignments of the same utterances lie apart."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from mer.corpus.alignment import Alignment, Segment
from mer.corpus.arpabet import to_arpabet
from mer.corpus.unspoken import is_filler

TIERS = ("words", "syllables", "phones")
_VARIANT = re.compile(r"\([0-9]+\)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """One tier of two sets; times in milliseconds, ours minus theirs."""

    tier: str
    """`words`, `syllables` or `phones`."""
    units: int
    """In the other set, fillers left out."""
    matched: int
    """How many of these have a partner of the same label in the same order."""
    boundaries: int
    """Starts and ends of the matched ones."""
    median: float
    """Median of the absolute differences."""
    p80: float
    """80 % are at most this."""
    p95: float
    """95 % are at most this."""
    bias: float
    """Mean difference: positive = ours are later."""
    within_20: float
    """Share of the differences that are at most 20 ms."""
    within_50: float
    """Share that are at most 50 ms."""


def compare_alignments(pairs: Iterable[tuple[Alignment, Alignment]]) -> list[Agreement]:
    """Agreement of ours with theirs, tier by tier; a tier that never matches is left out.

    Units are matched by label in the order of speech (longest common sub-sequences, `difflib`), so that another
    pronunciation costs its own phones only. Case, the number of a pronunciation (`WAS(2)`), stress and Sphinx's own
    phone symbols do not matter.

    Args:
        pairs: of ours and theirs, an utterance each.
    """
    both = list(pairs)
    found = (_agreement(tier, [(getattr(ours, tier), getattr(theirs, tier)) for ours, theirs in both]) for tier in TIERS)
    return [agreement for agreement in found if agreement is not None]


def _agreement(tier: str, pairs: Sequence[tuple[Sequence[Segment], Sequence[Segment]]]) -> Agreement | None:
    units, differences = 0, []
    for ours, theirs in pairs:
        own, other = _spoken(ours), _spoken(theirs)
        units += len(other)
        matcher = SequenceMatcher(None, [_label(s) for s in own], [_label(s) for s in other], autojunk=False)
        for block in matcher.get_matching_blocks():
            for a, b in zip(own[block.a : block.a + block.size], other[block.b : block.b + block.size], strict=True):
                differences += [a.start_ms - b.start_ms, a.end_ms - b.end_ms]
    if not differences:
        return None
    signed = np.array(differences, dtype=np.float64)
    absolute = np.abs(signed)
    return Agreement(
        tier=tier,
        units=units,
        matched=len(differences) // 2,
        boundaries=len(differences),
        median=float(np.median(absolute)),
        p80=float(np.quantile(absolute, 0.8)),
        p95=float(np.quantile(absolute, 0.95)),
        bias=float(signed.mean()),
        within_20=float(np.mean(absolute <= 20)),
        within_50=float(np.mean(absolute <= 50)),
    )


def _spoken(segments: Sequence[Segment]) -> list[Segment]:
    return [segment for segment in segments if not is_filler(segment.label)]


def _label(segment: Segment) -> str:
    plain = _VARIANT.sub("", segment.label).upper()
    return "_".join(to_arpabet(part) for part in plain.split("_"))
