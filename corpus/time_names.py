"""Which columns hold times, and in which unit, by their names in any spelling."""

import re
from functools import lru_cache

STARTS = frozenset("start starts starting begin begins beginning beg onset from offset t0 tmin xmin".split())
ENDS = frozenset("end ends ending stop stops finish until till to t1 tmax xmax".split())
LENGTHS = frozenset("duration durations dur length len".split())
SPANS = frozenset("segment segments seg span spans interval intervals timestamp timestamps window region boundaries".split())
"""Names of a column, or of a part of it, that may hold both ends."""
UNITS = {
    **dict.fromkeys("s sec secs second seconds".split(), "s"),
    **dict.fromkeys("ms msec msecs millis millisecond milliseconds".split(), "ms"),
    "us": "us",
    "ns": "ns",
    **dict.fromkeys("sample samples".split(), "samples"),
    **dict.fromkeys("frame frames idx index".split(), "frames"),
}
"""`frames` is none that says how long it is."""

_BESIDE = frozenset(
    "s sec secs second seconds ms msec msecs millis millisecond milliseconds us ns sample samples frame frames idx index time "
    "times timestamp stamp ts pos position point at t x in utt utterance seg segment audio clip wav turn speech word cut "
    "recording rec media file crop trim vad sentence chunk interval window region supervision supervisions".split()
)
"""Words that may stand beside: units and what is meant."""
_GLUED = re.compile(
    r"(?:t|time|seg|segment|utt|clip|audio|wav|turn)?(start|begin|beg|onset|offset|end|stop|duration|dur)"
    r"(time|times|timestamp|ts|pos|s|sec|secs|seconds|ms|msec|sample|samples|frame|frames)?"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+[0-9]?|[0-9]+")


@lru_cache(maxsize=1024)
def role_of(name: str) -> str | None:
    """`start`, `end`, `length` or `span` of a column's name in any spelling; None for others, and for `length` and `seconds`.

    `StartTime`, `start_ms`, `START (s)`, `t0`, `utt-end`, `begin_sample` ...
    """
    words = [word.lower() for word in _WORD.findall(name)]
    joined = "".join(words)
    if joined in ("length", "seconds"):
        return None
    roles = {
        role
        for word in (*words, joined)
        for role, known in (("start", STARTS), ("end", ENDS), ("length", LENGTHS))
        if word in known
    }
    glued = _GLUED.fullmatch(joined)
    if glued:
        roles |= {"start" if glued[1] in STARTS else "end" if glued[1] in ENDS else "length"}
    if len(roles) == 1:
        (role,) = roles
        plain = all(word in _BESIDE or word in STARTS | ENDS | LENGTHS for word in words)
        return role if plain or glued else None
    if roles == {"start", "end"} and words[-1:] == ["offset"]:
        return "end"
    if roles == {"start", "end"} or (
        not roles and words and all(word in SPANS | _BESIDE for word in words) and SPANS & set(words)
    ):
        return "span"
    return "start" if roles == {"start", "length"} else None


@lru_cache(maxsize=1024)
def unit_of(name: str) -> str:
    """The unit that a column's name says; empty for none."""
    words = [word.lower() for word in _WORD.findall(name)]
    found = [UNITS[word] for word in words if word in UNITS]
    glued = _GLUED.fullmatch("".join(words))
    return found[-1] if found else UNITS.get(glued[2] or "", "") if glued else ""
