"""Alignments in JSON, by the Montreal Forced Aligner, praatio, Gentle, WhisperX and others of Whisper, read as tiers."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from mer.corpus.textgrid_parser import DIGITS, Interval, TextGridError, Tier, in_order

POSITION = re.compile(r"_[BIES]$")
"""Kaldi's place of a phone in its word, which Gentle keeps."""


def parse_json(text: str) -> list[Tier]:
    """The tiers of an alignment in JSON; words that an aligner has not found in the audio have no times and are left out.

    Raises:
        TextGridError: no JSON, none of the known layouts, or intervals that overlap or end before they start.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise TextGridError("it is no whole JSON") from None
    try:
        tiers = dict(_tiers(found))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as problem:
        raise TextGridError(f"a part of it is not as expected: {problem!r}") from None
    if not tiers:
        raise TextGridError("it has neither `tiers` (MFA, praatio), `words` (Gentle) nor `segments` with `words` (WhisperX)")
    return [Tier(name, in_order(intervals, 0.0, float("inf"))) for name, intervals in tiers.items()]


def _tiers(found: Any) -> Iterator[tuple[str, list[Interval]]]:
    if not isinstance(found, Mapping):
        return
    if isinstance(found.get("tiers"), Mapping):
        for name, tier in found["tiers"].items():
            if tier.get("type", "interval") == "interval":
                yield str(name), [_interval(*entry) for entry in tier["entries"]]
    elif isinstance(found.get("tiers"), Sequence):
        for tier in found["tiers"]:
            if tier.get("class", "IntervalTier") == "IntervalTier":
                yield str(tier["name"]), [_interval(*entry) for entry in tier["entries"]]
    elif isinstance(found.get("segments"), Sequence):
        yield "words", [_word(word) for segment in found["segments"] for word in segment["words"] if "start" in word]
    elif isinstance(words := found.get("words", found.get("word_segments")), Sequence):
        spoken = [word for word in words if "start" in word]
        yield "words", [_word(word) for word in spoken]
        phones = [phone for word in spoken for phone in _phones(word)]
        if phones:
            yield "phones", phones


def _word(word: Mapping[str, Any]) -> Interval:
    return _interval(word["start"], word["end"], next((word[key] for key in ("word", "text") if key in word), None))


def _phones(word: Mapping[str, Any]) -> Iterator[Interval]:
    """Gentle gives durations, one after the other from the word's start, of ARPAbet in small letters."""
    start = _seconds(word["start"])
    for phone in word.get("phones", ()):
        end = start + _seconds(phone["duration"])
        name = POSITION.sub("", str(phone["phone"]))
        yield _interval(start, end, "spn" if name == "oov" else name.upper() if name.isascii() and name != "sil" else name)
        start = end


def _interval(start: Any, end: Any, label: Any) -> Interval:
    if not isinstance(label, str):
        raise TypeError(label)
    return Interval(round(_seconds(start), DIGITS), round(_seconds(end), DIGITS), label)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError(value)
    return float(value)
