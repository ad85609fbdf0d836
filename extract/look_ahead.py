"""A look at some alignments before the encoders run for hours."""

import numpy as np

from mer.corpus import AlignmentError, Corpus
from mer.extract.config import ExtractConfig
from mer.extract.inputs import wanted_segments
from mer.extract.own_units import TIERS, add_whole, count_tiers, missing_tiers

LOOKED_AT = 50
"""Utterances, from all over the corpus."""
LONGEST_MS = 10**9
"""Stands for the length of audio that is not opened yet."""


def look_ahead(corpus: Corpus, config: ExtractConfig) -> dict[str, str]:
    """Wanted tiers that seem to have no usable units, and what to say of them; no audio is opened.

    Args:
        corpus: some of its alignments are read.
        config: says which tiers are wanted.
    """
    wanted = [g for g in config.granularities if g in TIERS]
    if not wanted:
        return {}
    ids: list[str] = []
    whole: dict[str, dict[str, list[str]]] = {}
    for place in np.unique(np.linspace(0, len(corpus) - 1, LOOKED_AT).astype(np.int64)).tolist():
        utterance = corpus.utterances[place]
        try:
            segments = wanted_segments(utterance, config, LONGEST_MS)
        except AlignmentError:
            continue  # it fails with its reason when its turn comes
        ids.append(utterance.id)
        add_whole(whole, utterance.id, segments.whole)
    return missing_tiers(count_tiers(wanted, [(ids, (), whole)]))
