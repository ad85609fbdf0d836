"""SpeechBrain's annotation files: https://speechbrain.readthedocs.io, "Data loading"."""

import json
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path

from mer.corpus.columns import canonical
from mer.corpus.row_format import Numbered, RowFormat, beginning, first_rows, raw_rows, text_in
from mer.corpus.utterance import CorpusError

PLACEHOLDER = re.compile(r"(\$\w+|\$?\{\w+\})[/\\]*")
"""What stands for the folder of the recordings at the beginning of a path."""
_FIRST_KEY = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*')
_TIMES = ("start", "stop")
FEWEST_SAMPLES = 2000
"""A second has more samples than these, and fewer milliseconds: times so much longer than the duration are samples."""


class SpeechBrain(RowFormat):
    """CSV with `ID, duration, wav`, or JSON of {id: {wav, ...}}."""

    title = "SpeechBrain"
    layout = "a .csv with columns ID, duration, wav, emo and paths in $data_root or times, or a .json of {id: {wav, emo}}"
    speaker_place = "a column spk_id of the CSV, a key spk_id of every entry of the JSON"

    def recognises(self, path: Path) -> bool:
        """A CSV with SpeechBrain's header and its times or placeholders, or a JSON whose first entry has wav and emo."""
        if path.suffix.lower() == ".json" and path.is_file():
            return {"wav", "label"} <= set(canonical(tuple(_first_value(path))))
        if path.suffix.lower() != ".csv" or not path.is_file():
            return False
        names, first = first_rows(path, 2)
        known = names[:1] == ["ID"] and {"duration", "wav"} <= set(names)
        return known and (set(_TIMES) <= set(names) or any(PLACEHOLDER.match(cell) for cell in first))

    def rows(self, path: Path, encoding: str | None) -> Iterator[Numbered]:
        """Every entry; `start` and `stop` are samples, as SpeechBrain has them, unless they are as long as `duration` says."""
        for number, row in raw_rows(path, encoding) if path.suffix.lower() != ".json" else _entries(path, encoding):
            yield number, _plain(path, number, row)


def _first_value(path: Path) -> Mapping[str, object]:
    text = "\n".join(beginning(path))
    key = _FIRST_KEY.match(text)
    try:
        value = json.JSONDecoder().raw_decode(text, key.end())[0] if key else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _entries(path: Path, encoding: str | None) -> Iterator[Numbered]:
    try:
        entries = json.loads(text_in(path, encoding))
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path}: not JSON ({error})") from error
    for number, (name, entry) in enumerate(entries.items(), start=1):
        if not isinstance(entry, dict):
            raise CorpusError(f"{path}: entry {name!r:.60} must be an object with wav and emo, got {entry!r:.60}")
        yield number, {**entry, "id": name}


def _plain(path: Path, number: int, given: Mapping[str, object]) -> dict[str, object]:
    row = dict(zip(canonical(tuple(given)), given.values(), strict=True))
    row = {name: value for name, value in row.items() if not name.endswith(("_format", "_opts"))}
    if isinstance(row.get("wav"), dict):  # {"file": ..., "start": ..., "stop": ...}
        inner = dict(row.pop("wav"))  # type: ignore[call-overload]
        row |= {"wav": inner.pop("file", None), **inner}  # pyright: ignore[reportArgumentType, reportCallIssue]
    if isinstance(row.get("wav"), str):
        row["wav"] = re.sub(rf"^{PLACEHOLDER.pattern}", "", str(row["wav"]).strip())
    for spelling in ("wrd", "words"):
        if spelling in row:
            row.setdefault("text", row.pop(spelling))
    seconds = _number(row.pop("duration", None)) or _number(row.pop("length", None))
    times = {name: _number(row.pop(name)) for name in _TIMES if row.get(name) not in (None, "")}
    if not times:
        return row | ({"seconds": seconds} if seconds else {})  # pyright: ignore[reportReturnType]
    unit = _unit_of(times, seconds)
    if unit is None:
        said = f"start and stop ({given.get('start')!r}, {given.get('stop')!r}) beside a duration of {seconds} s"
        raise CorpusError(f"{path}: entry {number}: {said} are neither seconds nor samples; correct them")
    return row | {f"{name}_{unit}": value for name, value in times.items()}  # pyright: ignore[reportReturnType]


def _unit_of(times: Mapping[str, float | None], seconds: float | None) -> str | None:
    start, stop = times.get("start", 0.0), times.get("stop")
    if start is None or (stop is None and "stop" in times):
        return None
    whole = start == int(start) and (stop is None or stop == int(stop))
    if not seconds or stop is None:
        return "samples" if whole else "s"
    share = (stop - start) / seconds
    if 0 < share <= 1.05:  # a part of a longer recording has its own duration or that of the recording
        return "s"
    return "samples" if whole and share >= FEWEST_SAMPLES else None


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if isfinite(number) else None
