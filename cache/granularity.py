"""The five granularities, in the order in which they appear everywhere."""

GRANULARITIES: tuple[str, ...] = ("F", "P", "S", "W", "T")
"""Frame, phone, syllable, word (speech) and wordpiece (text)."""

SEGMENT_GRANULARITIES: tuple[str, ...] = ("P", "S", "W")
"""Granularities whose units have a time span and a label."""


def stream(granularity: str) -> str:
    """The encoder a granularity comes from: `text` for `T`, else `speech`."""
    return "text" if granularity == "T" else "speech"
