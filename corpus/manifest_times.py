"""Where in its recording an utterance is, out of the columns of a row: times in any spelling and unit."""

import math
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from mer.corpus.manifest_row import Row, RowError
from mer.corpus.part import Part
from mer.corpus.time_names import UNITS, role_of, unit_of
from mer.corpus.utterance import CorpusError, Problem

SHORT_SECONDS, LONG_SECONDS, LONG_MS = 50, 300, 15_000
"""Half of all utterances are shorter than the first, none of them than so many ms; from the second on, numbers are no seconds;
beyond the third they could be samples."""
_FACTORS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "samples": 1.0, "": 1.0}
_CLOCK = re.compile(r"(?:(\d+) days? )?(?:(?:(\d+):)?(\d+):)?(\d+(?:[.,]\d*)?)")
_UNIT = re.compile(r"(?<=[0-9.])\s*(s|secs?|seconds?|ms|msecs?|milliseconds?|samples?|frames?)$")
_PAIR = re.compile(r"[\[(]?\s*(\d+(?:\.\d+)?)\s*s?\s*(?:-|\u2013|,|;|:|\.\.|to|\s)\s*(\d+(?:\.\d+)?)\s*s?\s*[\])]?")
_ABSENT = frozenset({"", "nan", "nat", "none", "null", "na", "n/a", "-", "-1", "-1.0", "<na>"})
_MAX_DEPTH = 3
_SAME = 2e-3


class Cell(NamedTuple):
    """One time in a row."""

    name: str
    role: str
    """`start`, `end`, `length`, or `list` for one inside a list."""
    value: float
    unit: str
    """Empty where neither the name nor the value says it."""


class Span(NamedTuple):
    """Start and end of a part as its row says them."""

    start: float
    end: float | None
    unit: str
    """`s`, `samples`, or empty where no column says it."""


@dataclass
class Times:
    """The times of all rows of a table; what numbers without a unit are is settled when all are known."""

    names: dict[str, None] = field(default_factory=dict)
    """The columns that hold them."""
    factor: float = 1.0
    """Seconds of one, where no unit is named."""
    _starts: "array[float]" = field(default_factory=lambda: array("d"), repr=False)
    _lengths: "array[float]" = field(default_factory=lambda: array("d"), repr=False)
    """NaN without an end."""
    _units: bytearray = field(default_factory=bytearray, repr=False)
    """What each row says: 0 nothing, 1 a time with its unit, 2 a number, 3 samples."""

    def add(self, row: Row) -> bool:
        """Look at a row, in the order of the table.

        Returns:
            Whether it is a part of its recording.

        Raises:
            RowError: its times cannot be, or cannot be understood.
        """
        cells = list(self._cells(row))
        span = _span(cells)
        if span is not None:
            self.names |= dict.fromkeys(cell.name for cell in cells)
        self._starts.append(math.nan if span is None else span.start)
        self._lengths.append(math.nan if span is None or span.end is None else span.end - span.start)
        self._units.append(0 if span is None else {"s": 1, "": 2, "samples": 3}[span.unit])
        return span is not None

    def settle(self, path: Path) -> list[Problem]:
        """Decide what numbers without a unit are, after the last row.

        Returns:
            A note on how the times are read.

        Raises:
            CorpusError: they could be seconds or something else.
        """
        units = np.frombuffer(self._units, dtype=np.uint8) if self._units else np.zeros(0, np.uint8)
        if not units.any():
            return []
        bare = units == 2
        if bare.any():
            self._guess(path, bare)
        said = "milliseconds" if self.factor != 1 else "seconds"
        how = f", their numbers without a unit as {said}" if bare.any() else ""
        columns = ", ".join(map(repr, self.names))
        message = f"{np.count_nonzero(units):,} rows are parts of their recordings: {columns} are read{how}"
        return [Problem(kind="parts of recordings", where=str(path), message=message)]

    def seconds(self) -> NDArray[np.float64]:
        """Length of each part, NaN for whole recordings and where only the audio would tell."""
        units = np.frombuffer(self._units, dtype=np.uint8) if self._units else np.zeros(0, np.uint8)
        lengths = np.array(self._lengths, dtype=np.float64)
        return np.where(units == 3, np.nan, lengths * np.where(units == 2, self.factor, 1.0))

    def part(self, row: Row, wav: Path) -> Part:
        """Where in its recording a row's utterance is; times that are counted in samples need the file's rate."""
        span = _span(list(self._cells(row)))
        if span is None:
            return Part()
        factor = {"s": 1.0, "": self.factor}.get(span.unit) or 1 / _rate(row, wav)
        start, end = span.start * factor, None if span.end is None else span.end * factor
        return Part(round(start, 9), None if end is None else round(end, 9))

    def _guess(self, path: Path, bare: NDArray[np.bool_]) -> None:
        lengths, starts = np.array(self._lengths)[bare], np.array(self._starts)[bare]
        there = lengths[~np.isnan(lengths)]
        whole = bool((starts == np.round(starts)).all() and (there == np.round(there)).all())
        usual = float(np.median(there)) if len(there) else math.nan
        if usual < SHORT_SECONDS or (not whole and not usual > LONG_SECONDS):
            return
        if LONG_SECONDS < usual <= LONG_MS:
            self.factor = 1e-3
            return
        columns = ", ".join(map(repr, self.names))
        lengths_said = "without an end" if math.isnan(usual) else f"half of the parts are {usual:g} or longer"
        raise CorpusError(
            f"{path}: {columns} do not say their unit, and their numbers ({lengths_said}) could be seconds, milliseconds or "
            "samples; name the columns with it: start_s, start_ms or start_samples"
        )

    def _cells(self, row: Row) -> Iterator[Cell]:
        for name, value in row.items():
            role = role_of(name)
            if role is not None or isinstance(value, dict | list):
                yield from _times(name, role, value, unit_of(name))


def _span(cells: list[Cell]) -> Span | None:
    """Start and end of a row; None where nothing says that it is a part. A length alone is information."""
    inside = [cell.name for cell in cells if cell.role == "list"]
    if inside:
        raise RowError(f"{inside[0]} holds times inside a list; give the utterance's start and end as columns of their own")
    starts = [cell for cell in cells if cell.role == "start"]
    ends = [cell for cell in cells if cell.role == "end"]
    offsets = [cell for cell in starts if "offset" in cell.name.lower()]
    if offsets and len(offsets) < len(starts):  # onset and offset: the latter is the end
        ends += offsets
        starts = [cell for cell in starts if cell not in offsets]
    lengths = [cell for cell in cells if cell.role == "length"] if starts and not ends else []
    if not ends and not lengths and not any(cell.value for cell in starts):
        return None
    starts, lasts = _with_unit(starts), _with_unit(ends or lengths)
    unit = _unit([*starts, *lasts])
    start, last = _agreed(starts, unit) or 0.0, _agreed(lasts, unit)
    end = last if last is None or ends else start + last
    if start < 0 or (end is not None and end <= start):
        raise RowError(f"the utterance would be from {start:g} to {'the end' if end is None else format(end, 'g')}")
    return Span(start, end, {"samples": "samples", "": ""}.get(unit, "s"))


def _with_unit(cells: list[Cell]) -> list[Cell]:
    """Those of several columns for one thing that say how long it is; `frames` do not."""
    for kept in ([each for each in cells if each.unit in _FACTORS and each.unit], [each for each in cells if not each.unit]):
        if kept:
            return kept
    return cells


def _unit(cells: list[Cell]) -> str:
    """The one unit of the cells that say one, which those without take; `s` where several agree by conversion."""
    units = {cell.unit for cell in cells} - {""}
    if "frames" in units:
        name = next(cell.name for cell in cells if cell.unit == "frames")
        raise RowError(f"{name!r} counts frames or places, and how long one is is not said; give seconds, ms or samples")
    if len(units) > 1 and ("samples" in units or any(not cell.unit for cell in cells)):
        raise RowError(f"{', '.join(repr(cell.name) for cell in cells)}: times in units that cannot be told apart")
    return "s" if len(units) > 1 else next(iter(units), "")


def _agreed(cells: list[Cell], unit: str) -> float | None:
    values = [cell.value * _FACTORS[cell.unit or unit] for cell in cells]
    if values and max(values) - min(values) > _SAME:
        said = ", ".join(f"{cell.name} {cell.value:g}" for cell in cells)
        raise RowError(f"{said} contradict each other; keep one of them")
    return values[0] if values else None


def _rate(row: Row, wav: Path) -> int:
    for name in ("sample_rate", "sampling_rate", "rate"):
        value = row.get(name)
        if isinstance(value, int | str) and str(value).isdigit() and int(value) > 0:
            return int(value)
    return _rate_of(wav)


@lru_cache(maxsize=1024)
def _rate_of(wav: Path) -> int:
    try:
        return int(soundfile.info(str(wav)).samplerate)
    except (soundfile.SoundFileError, OSError, ValueError):  # it fails with its reason when it is read
        return 1


def _times(name: str, role: str | None, value: object, unit: str, depth: int = 0) -> Iterator[Cell]:
    """Every time in a cell, also of nested JSON."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _times(f"{name}.{key}", role_of(str(key)), inner, unit_of(str(key)) or unit, depth + 1)
    elif isinstance(value, list):
        numbers = [_number(each) for each in value]
        if role == "span" and len(value) == 2 and None not in numbers:
            yield from (
                Cell(name, part, number[0], number[1] or unit)
                for part, number in zip(("start", "end"), numbers, strict=True)
                if number is not None
            )
        else:
            for inner in value:
                if isinstance(inner, Mapping | list):
                    yield from (cell._replace(role="list") for cell in _times(name, role, inner, unit, depth + 1))
    elif role == "span":
        pair = _PAIR.fullmatch(value.strip()) if isinstance(value, str) else None
        if pair:
            yield Cell(name, "start", float(pair[1]), unit)
            yield Cell(name, "end", float(pair[2]), unit)
    elif role is not None:
        number = _number(value)
        if number is not None:
            yield Cell(name, role, number[0], number[1] or unit)


def _number(value: object) -> tuple[float, str] | None:
    """A number or a clock time with the unit it says; None for anything else, an empty cell and NaN."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if value != value or value == -1 else (float(min(max(value, -1e12), 1e12)), "")
    if not isinstance(value, str) or value.strip().lower() in _ABSENT:
        return None
    text = value.strip().lower()
    said = _UNIT.search(text)
    unit = UNITS.get(said[1], "") if said else ""
    text = _UNIT.sub("", text)
    clock = _CLOCK.fullmatch(text)
    if clock:
        days, hours, minutes, seconds = clock.groups()
        long = int(days or 0) * 86400.0 + int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds.replace(",", "."))
        return min(long, 1e12), unit or ("s" if days or minutes else "")
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else (min(max(number, -1e12), 1e12), unit)
