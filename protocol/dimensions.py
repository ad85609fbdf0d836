"""Names of the ratings that corpora have of an utterance."""

import math
from collections.abc import Mapping
from typing import Any

VALENCE, AROUSAL, DOMINANCE = "valence", "arousal", "dominance"
DIMENSIONS = (VALENCE, AROUSAL, DOMINANCE)
"""In the order in which a cache keeps them; arousal is what IEMOCAP calls activation."""
PREDICTED = {"valence": (VALENCE,), "arousal": (AROUSAL,), "dominance": (DOMINANCE,), "vad": DIMENSIONS}
"""Ratings that a head answers with for each value of its option `predict` but `emotion`."""
_COLUMNS = {VALENCE: "valence", AROUSAL: "activation", DOMINANCE: "dominance"}


def ratings_of(more: Mapping[str, Any]) -> tuple[float, ...]:
    """What an utterance was rated, by `UtteranceTable.more`, in the order of `DIMENSIONS`; NaN where it was not.

    A corpus with all three has them as `attributes`; a manifest with some of them has columns.
    """
    if attributes := more.get("attributes"):
        return tuple(float(each) for each in attributes)
    columns = more.get("columns") or {}
    return tuple(_number(columns.get(_COLUMNS[name])) for name in DIMENSIONS)


def dimensions_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Ratings that a head with such a config, as JSON has it, answers with; empty where it answers with an emotion."""
    return PREDICTED.get(str(config.get("predict")), ())


def _number(text: object) -> float:
    try:
        value = float(str(text))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
