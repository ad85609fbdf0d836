"""Praat's text format of TextGrids, read as Praat reads it: what counts are strings, numbers and flags, in their order."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DIGITS = 3
"""Times are rounded to milliseconds."""

_TOKEN = re.compile(r'"((?:[^"]|"")*)"(?=\s|$)|(\S+)')
_INTERVALS, _POINTS = "IntervalTier", "TextTier"

Token = str | float


class TextGridError(ValueError):
    """What is wrong with the text of a TextGrid."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A labelled stretch of a tier, in seconds."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Tier:
    """A named tier of intervals in time order; those that are empty after rounding are left out."""

    name: str
    intervals: tuple[Interval, ...]
    has_more_than_it_says: bool = False


def parse_textgrid(text: str) -> list[Tier]:
    """The interval tiers of a TextGrid, in the long or the short format; tiers of points are passed over.

    A tier, or the file, that says it has fewer parts than it has is read whole: some writers count only the labelled
    intervals. One that says it has more has lost some.

    Raises:
        TextGridError: no TextGrid, a part of one, or intervals that overlap, end before they start or reach beyond their tier.
    """
    tokens = _Tokens(text)
    if not tokens.string().startswith("ooTextFile") or tokens.string() != "TextGrid":
        raise TextGridError("its first lines are not those of a TextGrid")
    tokens.number()
    end = tokens.number()
    declared = tokens.count()
    tiers: list[Tier] = []
    found = 0
    while tokens.left:
        kind, name = tokens.string(), tokens.string()
        if kind not in (_INTERVALS, _POINTS):
            raise TextGridError(f"{kind[:40]!r} where a tier should begin")
        first, last = tokens.number(), tokens.number()
        parts = tokens.count()
        intervals = list(_intervals(tokens) if kind == _INTERVALS else _points(tokens))
        found += 1
        if len(intervals) < parts:
            raise TextGridError(f"tier {name!r} says it has {parts} parts, and {len(intervals)} are there")
        if last > end:
            raise TextGridError(f"an interval or tier reaches beyond the {end} s of what holds it")
        if kind == _INTERVALS:
            tiers.append(Tier(name, in_order(intervals, first, last), len(intervals) > parts))
    if found < declared:
        raise TextGridError(f"it says it has {declared} tiers, and {found} are there")
    return tiers


class _Tokens:
    """Strings and numbers that stand free; all else (`xmin =`, `intervals [1]:`, `<exists>`) is for people."""

    def __init__(self, text: str) -> None:
        self._tokens = list(self._split(text))
        self._place = 0

    @staticmethod
    def _split(text: str) -> Iterator[Token]:
        for match in _TOKEN.finditer(text):
            string, word = match.groups()
            if word is None:
                yield string.replace('""', '"')
            elif '"' in word:
                raise TextGridError(f"a quotation mark that does not end or is not doubled, at {word[:40]!r}")
            else:
                try:
                    yield round(float(word), DIGITS)
                except ValueError:
                    continue

    @property
    def left(self) -> bool:
        return self._place < len(self._tokens)

    def next_is_number(self) -> bool:
        return self.left and isinstance(self._tokens[self._place], float)

    def string(self) -> str:
        token = self._next("a text")
        if not isinstance(token, str):
            raise TextGridError(f"{token} where a text should be")
        return token

    def number(self) -> float:
        token = self._next("a number")
        if not isinstance(token, float):
            raise TextGridError(f"{str(token)[:40]!r} where a number should be")
        return token

    def count(self) -> int:
        number = self.number()
        if not number.is_integer():  # nor is it where it is infinite or NaN
            raise TextGridError(f"{number} where a whole number should be")
        return int(number)

    def _next(self, wanted: str) -> Token:
        if not self.left:
            raise TextGridError(f"it ends where {wanted} should be")
        self._place += 1
        return self._tokens[self._place - 1]


def _intervals(tokens: _Tokens) -> Iterator[Interval]:
    while tokens.next_is_number():
        yield Interval(tokens.number(), tokens.number(), tokens.string())


def _points(tokens: _Tokens) -> Iterator[Interval]:
    while tokens.next_is_number():
        time = tokens.number()
        yield Interval(time, time, tokens.string())


def in_order(intervals: list[Interval], first: float, last: float) -> tuple[Interval, ...]:
    """Intervals by their start, without those that are empty.

    Raises:
        TextGridError: some overlap, end before they start or reach beyond `first` to `last`.
    """
    kept: list[Interval] = []
    for interval in sorted(intervals, key=lambda interval: (interval.start, interval.end)):
        start, end, label = interval.start, interval.end, interval.label
        if end < start:
            raise TextGridError(f"interval {label!r} from {start} to {end} s ends before it starts")
        if start < first or end > last:
            raise TextGridError(f"an interval or tier reaches beyond the {last if end > last else first} s of what holds it")
        if start == end:
            continue
        if kept and start < kept[-1].end:
            before = kept[-1]
            raise TextGridError(
                f"intervals of one tier overlap, {before.label!r} {before.start}-{before.end} s and {label!r} {start}-{end} s"
            )
        kept.append(interval)
    return tuple(kept)
