"""Which of P, S and W an utterance has units of, and why a tier without any is one segment over the whole of it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mer.cache import CacheSet, FeatureCache
from mer.cache.granularity import unit_of
from mer.corpus import Alignment

TIERS = {"P": "phones", "S": "syllables", "W": "words"}
NONE = "none"
"""What a record says of an utterance without an alignment."""
NO_ALIGNMENT = "no alignment"
NOTHING_SPOKEN = "nothing is spoken in the alignment"
ONLY_FILLERS = "nothing but fillers, which --drop-fillers drops"

TOLERATED = 0.05
"""Share of the utterances with an alignment that may lack one of its tiers: a damaged file is no reason to stop."""

Whole = Mapping[str, Mapping[str, Sequence[str]]]
"""Ids of utterances with one segment over the whole of them, by tier and reason; recorded with a shard."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TierCount:
    """How many utterances have units of a tier."""

    units: int
    """Utterances with units of their own."""
    whole: int
    """Utterances with one segment over the whole of them."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many of the latter there are, by why."""
    unknown: int = 0
    """Utterances in shards of an earlier mer, which did not write it down."""

    @property
    def missing(self) -> bool:
        """Whether a head would be trained on something else than this tier.

        Fewer than half of the utterances have units, or more than one in twenty of those whose alignment has units in
        other tiers.
        """
        excused = sum(self.reasons.get(reason, 0) for reason in (NO_ALIGNMENT, NOTHING_SPOKEN, ONLY_FILLERS))
        lacking = self.whole - excused
        return self.whole > self.units + self.unknown or lacking > TOLERATED * (self.units + self.unknown + lacking)


def why_whole(tier: str, alignment: Alignment, spoken: Alignment) -> str:
    """Why a tier has no units.

    Args:
        tier: P, S or W.
        alignment: as it was read.
        spoken: the same, perhaps without its fillers; the tier is empty in it.
    """
    name = TIERS[tier]
    if getattr(alignment, name):
        return ONLY_FILLERS
    if not any(getattr(spoken, other) for other in TIERS.values()):
        return NOTHING_SPOKEN
    return f"the alignment has no {name}"


def add_whole(whole: dict[str, dict[str, list[str]]], utterance_id: str, reasons: Mapping[str, str]) -> None:
    """Write an utterance's tiers without units down among those of its shard, by tier and reason."""
    for tier, reason in reasons.items():
        whole.setdefault(tier, {}).setdefault(reason, []).append(utterance_id)


def count_tiers(
    tiers: Iterable[str], shards: Iterable[tuple[Sequence[str], Collection[str], Whole | None]]
) -> dict[str, TierCount]:
    """Add up shards.

    Args:
        tiers: those of P, S and W that are wanted.
        shards: of each the ids of the utterances that count, those of them without any unit, and what was recorded of whole
            ones; None where a shard is from before that.
    """
    units, unknown = Counter[str](), Counter[str]()
    reasons: dict[str, Counter[str]] = {tier: Counter() for tier in tiers}
    for ids, without, whole in shards:
        asked = set(ids)
        for tier, counted in reasons.items():
            if whole is None:
                counted[NO_ALIGNMENT] += len(without)
                unknown[tier] += len(asked) - len(without)
                continue
            here = {reason: len(asked.intersection(names)) for reason, names in whole.get(tier, {}).items()}
            counted.update(here)
            units[tier] += len(asked) - sum(here.values())
    return {
        tier: TierCount(units=units[tier], whole=counted.total(), reasons=dict(+counted), unknown=unknown[tier])
        for tier, counted in reasons.items()
    }


def tiers_of_cache(cache: FeatureCache | CacheSet, granularities: Iterable[str]) -> dict[str, TierCount]:
    """How many utterances of a cache have units of each wanted tier, as its shards recorded it.

    Args:
        cache: or a set of several.
        granularities: any that it holds; only P, S and W count.
    """
    found: dict[str, TierCount] = {}
    for name in granularities:
        if unit_of(name) in TIERS and name in cache.granularities:
            holder, tier = cache.holder(name)
            found[name] = _recorded(holder, tier)[tier]
    return found


def _recorded(cache: FeatureCache, tier: str) -> dict[str, TierCount]:
    shards = [
        (
            [record.id for record in sidecar.utterances],
            [record.id for record in sidecar.utterances if record.alignment == NONE],
            sidecar.provenance.get("whole_segments"),
        )
        for sidecar in cache.sidecars
    ]
    return count_tiers([tier], shards)


def missing_tiers(counts: Mapping[str, TierCount]) -> dict[str, str]:
    """Every tier without usable units, and what to say of it."""
    return {tier: _said(tier, count) for tier, count in counts.items() if count.missing}


def _said(tier: str, count: TierCount) -> str:
    why = "; ".join(f"{n:,} x {reason}" for reason, n in sorted(count.reasons.items(), key=lambda item: -item[1]))
    total, units = count.units + count.whole + count.unknown, TIERS[unit_of(tier)]
    return (
        f"{tier}: {count.whole:,} of {total:,} utterances have no {units} of their own and are one segment over the whole "
        f"utterance ({why}). Align them with `mer align`, or with a model that gives {units}; else leave {tier} out of "
        "--granularity, or take the whole utterances with --allow-missing-segments"
    )
