"""What a cache says about its utterances, beside their activations."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float

from mer.cache.cache_error import CacheError


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceRecord:
    """One utterance whose activations are stored."""

    id: str
    """Unique in the corpus; at least one character, no NUL."""
    label: str
    """The corpus' own label, unmapped."""
    speaker: str
    """Who speaks."""
    session: str
    """Fold unit."""
    dialogue: str = ""
    """Recording that the utterance was cut from; empty where unknown."""
    style: str = ""
    """`improvised`, `scripted`, or empty where unknown."""
    text: str = ""
    """Transcript as the corpus has it."""
    seconds: float
    """Duration of the audio."""
    alignment: str
    """Where the segment times are from: `corpus`, `textgrid`, ..., or `none`."""
    fingerprint: str
    """Hex sha256 of the inputs, so that a changed input is noticed."""
    more: str = ""
    """What else the corpus says of it, as one JSON object (`split`, `votes`, `attributes`, `columns`); empty for nothing."""

    def __post_init__(self) -> None:
        _check_strings(self, "utterance")
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise CacheError(f"utterance {self.id!r}: seconds must be finite and not negative, got {self.seconds}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedUtterance:
    """One utterance that could not be extracted, kept so that it is never silently missing."""

    id: str
    """Unique in the corpus; at least one character, no NUL."""
    reason: str
    """One sentence that a person can act on."""
    fingerprint: str
    """Hex sha256 of the inputs; an utterance is tried again when it changes."""

    def __post_init__(self) -> None:
        _check_strings(self, "failed utterance")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Units:
    """One granularity of one utterance."""

    data: Float[np.ndarray, "units layers dim"]
    """Activations; at least one unit."""
    span: Float[np.ndarray, "spans 2"] | None = None
    """Start and end of each unit in seconds, float64, a row per unit; required for P, S and W."""
    labels: tuple[str, ...] | None = None
    """Name of each unit; required for P, S and W."""


STRING_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(UtteranceRecord) if f.type is str)
"""Fields of an utterance that a shard stores as text, under `utterance/`."""

OPTIONAL_FIELDS = frozenset({"more"})
"""Those of them that a shard without any such text has no dataset for, and a sidecar no key."""

FAILED_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(FailedUtterance))
"""Fields of a failed utterance, under `failed/`."""


def _check_strings(record: Any, noun: str) -> None:
    if not record.id:
        raise CacheError(f"{noun} without an id; every utterance needs one")
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, str):
            check_text(value, f"{noun} {record.id!r}: {field.name}")


def check_text(value: str, what: str) -> None:
    """Refuse text that fixed-length UTF-8 cannot give back.

    Raises:
        CacheError: if it holds NUL, or half of a surrogate pair.
    """
    if "\0" in value:
        raise CacheError(f"{what} holds a NUL character, which the cache cannot store; remove it from the corpus")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CacheError(f"{what} is not valid Unicode ({error.reason}); correct it in the corpus") from error
