"""The five granularities, in the order in which they appear everywhere."""

from mer.cache.cache_error import CacheError

GRANULARITIES: tuple[str, ...] = ("F", "P", "S", "W", "T")
"""Frame, phone, syllable, word (speech) and wordpiece (text)."""

SEGMENT_GRANULARITIES: tuple[str, ...] = ("P", "S", "W")
"""Granularities whose units have a time span and a label."""


def parse_granularities(text: str) -> tuple[str, ...]:
    """Read `F+S` as `("F", "S")`, in canonical order.

    Args:
        text: letters joined by `+`, in any order and case; each at most once.

    Raises:
        CacheError: if a part is no granularity, or is given twice.
    """
    parts = [part.strip().upper() for part in text.split("+")]
    unknown = [part for part in parts if part not in GRANULARITIES]
    if unknown:
        raise CacheError(
            f"granularity {text!r}: {unknown[0]!r} is not one of F (frame), P (phone), S (syllable), "
            "W (word), "
            "T (wordpiece); join several with `+`, as in F+S"
        )
    if len(set(parts)) < len(parts):
        raise CacheError(f"granularity {text!r} names one twice; give each at most once, as in F+S")
    return tuple(g for g in GRANULARITIES if g in parts)


def stream(granularity: str) -> str:
    """The encoder a granularity comes from: `text` for `T`, else `speech`."""
    return "text" if granularity == "T" else "speech"
