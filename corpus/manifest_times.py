"""Columns of a manifest that say where in its recording an utterance is: segments, which are not read."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from mer.corpus.manifest_row import ManifestFolder, Row, name_in
from mer.corpus.utterance import CorpusError

STARTS = frozenset("start starts starting begin begins beginning beg onset from offset t0 tmin xmin".split())
ENDS = frozenset("end ends ending stop stops finish until till to t1 tmax xmax".split())
LENGTHS = frozenset("duration durations dur length len".split())
SPANS = frozenset("segment segments seg span spans interval intervals timestamp timestamps window region boundaries".split())
"""Names of a column, or of a part of it, that may hold both ends."""

_BESIDE = frozenset(
    "s sec secs second seconds ms msec msecs millis millisecond milliseconds us ns sample samples frame frames idx index time "
    "times timestamp stamp ts pos position point at t x in utt utterance seg segment audio clip wav turn speech word cut "
    "recording rec media file crop trim vad sentence chunk interval window region supervision supervisions".split()
)
"""Words that may stand beside: units and what is meant."""
_GLUED = re.compile(
    r"(?:t|time|seg|segment|utt|clip|audio|wav|turn)?(start|begin|beg|onset|offset|end|stop|duration|dur)"
    r"(?:time|times|timestamp|ts|pos|s|sec|secs|seconds|ms|msec|sample|samples|frame|frames)?"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+[0-9]?|[0-9]+")
_CLOCK = re.compile(r"(?:(\d+) days? )?(?:(?:(\d+):)?(\d+):)?(\d+(?:[.,]\d*)?)")
_UNIT = re.compile(r"(?<=[0-9.])\s*(?:s|secs?|seconds?|ms|msecs?|milliseconds?|samples?|frames?)$")
_PAIR = re.compile(r"[\[(]?\s*(\d+(?:\.\d+)?)\s*s?\s*(?:-|\u2013|,|;|:|\.\.|to|\s)\s*(\d+(?:\.\d+)?)\s*s?\s*[\])]?")
_ABSENT = frozenset({"", "nan", "nat", "none", "null", "na", "n/a", "-", "-1", "-1.0", "<na>"})
_SAME_SECONDS = 0.05
"""How far an end may be from the end of the file and still mean it."""
_SHOWN = 3
_MAX_DEPTH = 3
_MOST_NAMES = 1000


@dataclass
class TimeColumns:
    """Rows that mean a part of their recording, found while a manifest is read."""

    folder: ManifestFolder
    count: int = 0
    """Rows so far."""
    shown: list[str] = field(default_factory=list)
    """The first of them, in words."""
    names: dict[str, None] = field(default_factory=dict)
    """Their columns."""
    _roles: dict[str, str | None] = field(default_factory=dict, repr=False)

    def add(self, line: int, row: Row) -> None:
        """Look at a row without faults."""
        cells = list(self._cells(row))
        if not cells or not self._is_part(row, cells):
            return
        self.count += 1
        if len(self.shown) < _SHOWN:
            values = ", ".join(f"{name} {value}" for name, _, value in cells)
            self.shown.append(f"line {line} ({name_in(row, 'id')}): {values:.100}")
        self.names |= dict.fromkeys(name for name, _, _ in cells)

    def refuse_any(self, path: Path) -> None:
        """Refuse a manifest of segments.

        Raises:
            CorpusError: with the columns, the first rows, and what to do.
        """
        if not self.count:
            return
        columns = ", ".join(map(repr, self.names))
        rows = "\n".join(f"  {row}" for row in self.shown)
        more = self.count - len(self.shown)
        raise CorpusError(
            f"{path}: {columns} say where in its recording an utterance is, and parts of recordings are not read: every row "
            f"would get the features of its whole file. Cut each recording into one file per utterance (ffmpeg -i long.wav -ss "
            "START -to END part.wav) and name those; if every file holds one utterance already, leave these columns out.\n"
            + rows
            + (f"\n  and {more:,} more" if more else "")
        )

    def _cells(self, row: Row) -> Iterator[tuple[str, str, float]]:
        """Column, role and value of every time in a row."""
        for name, value in row.items():
            role = self._roles.get(name, "")
            if role == "":
                if len(self._roles) >= _MOST_NAMES:
                    self._roles.clear()
                role = self._roles[name] = role_of(name)
            if role is not None or isinstance(value, dict | list):
                yield from _times(name, role, value)

    def _is_part(self, row: Row, cells: list[tuple[str, str, float]]) -> bool:
        """Whether times can mean anything but the whole file; a length alone is information."""
        starts = [(name, value) for name, role, value in cells if role == "start"]
        ends = [value for _, role, value in cells if role == "end"]
        offsets = [value for name, value in starts if "offset" in name.lower()]
        if offsets and len(offsets) < len(starts):  # onset and offset: the latter is the end
            ends += offsets
            starts = [(name, value) for name, value in starts if "offset" not in name.lower()]
        if any(value != 0 for _, value in starts):
            return True
        ends += [value for _, role, value in cells if role == "length" and starts]
        if not ends or self.count >= _SHOWN:  # enough is known to refuse: no more files are opened
            return bool(ends)
        return not all(self._ends_with_file(row, end) for end in ends)

    def _ends_with_file(self, row: Row, end: float) -> bool:
        """Whether a time in any unit is the length of the file; what cannot be opened fails later, with its reason."""
        try:
            info = soundfile.info(str(self.folder.folder / str(row["wav"])))
        except (soundfile.SoundFileError, OSError, ValueError):
            return True
        seconds = info.frames / info.samplerate
        units = (1.0, 1e-3, 1e-6, 1e-9, 1 / info.samplerate)
        return any(abs(end * unit - seconds) <= _SAME_SECONDS for unit in units)


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


def _times(name: str, role: str | None, value: object, depth: int = 0) -> Iterator[tuple[str, str, float]]:
    """Every time in a cell, also of nested JSON."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _times(f"{name}.{key}", role_of(str(key)), inner, depth + 1)
    elif isinstance(value, list):
        numbers = [_seconds(each) for each in value]
        if role == "span" and len(value) == 2 and None not in numbers:
            yield from (
                (name, part, number) for part, number in zip(("start", "end"), numbers, strict=True) if number is not None
            )
        else:
            for inner in value:
                if isinstance(inner, Mapping | list):
                    yield from _times(name, role, inner, depth + 1)
    elif role == "span":
        pair = _PAIR.fullmatch(value.strip()) if isinstance(value, str) else None
        if pair:
            yield name, "start", float(pair[1])
            yield name, "end", float(pair[2])
    elif role is not None:
        number = _seconds(value)
        if number is not None:
            yield name, role, number


def _seconds(value: object) -> float | None:
    """A number or a clock time; None for anything else, an empty cell and NaN."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if value != value or value == -1 else float(min(max(value, -1e300), 1e300))
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    if text in _ABSENT:
        return None
    text = _UNIT.sub("", text)
    clock = _CLOCK.fullmatch(text)
    if clock:
        days, hours, minutes, seconds = clock.groups()
        return int(days or 0) * 86400.0 + int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds.replace(",", "."))
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number
