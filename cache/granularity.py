"""The five granularities, in the order in which they appear everywhere, and the encoders that they come from.

Where several encoders were run over a corpus, a granularity says from which it is: `F@wavlm`.
"""

import re
from collections.abc import Iterable

GRANULARITIES: tuple[str, ...] = ("F", "P", "S", "W", "T")
"""Frame, phone, syllable, word (speech) and wordpiece (text)."""

SEGMENT_GRANULARITIES: tuple[str, ...] = ("P", "S", "W")
"""Granularities whose units have a time span and a label."""

STREAMS = ("speech", "text")
"""Kinds of encoders."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""Names of encoders."""


def unit_of(granularity: str) -> str:
    """What a unit is, without the encoder: `F` of `F@wavlm`."""
    return granularity.partition("@")[0]


def encoder_of(granularity: str) -> str:
    """Name of the encoder: `wavlm` of `F@wavlm`; empty where it does not say."""
    return granularity.partition("@")[2]


def is_text(granularity: str) -> bool:
    """Whether its units are wordpieces of the transcript."""
    return unit_of(granularity) == "T"


def stream(granularity: str) -> str:
    """The encoder a granularity comes from: `text` for `T`, else `speech`; `speech@wavlm` for `F@wavlm`."""
    kind = "text" if is_text(granularity) else "speech"
    return f"{kind}@{encoder_of(granularity)}" if encoder_of(granularity) else kind


def in_order(granularities: Iterable[str]) -> tuple[str, ...]:
    """Granularities in their fixed order, and those of one kind by the names of their encoders; others come last."""
    order = {name: place for place, name in enumerate(GRANULARITIES)}
    return tuple(sorted(granularities, key=lambda name: (order.get(unit_of(name), len(order)), encoder_of(name))))
