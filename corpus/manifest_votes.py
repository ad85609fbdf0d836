"""What several annotators said of an utterance, as tables spell it."""

import json
import re
from collections import Counter
from collections.abc import Mapping

from mer.corpus.manifest_row import Row, RowError

_COUNTED = re.compile(r"(.+?)\s*[:=]\s*(\d+)")
DIMENSIONS = ("valence", "activation", "dominance")


def votes_of(value: object) -> Mapping[str, int] | None:
    """Label to number of annotators: `{"ang": 2, "neu": 1}`, `ang:2;neu:1`, `["ang", "ang", "neu"]` or `ang;ang;neu`.

    Raises:
        RowError: something else.
    """
    if value is None or value == "" or value == [] or value == {}:
        return None
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except ValueError:
            pass
    if isinstance(value, str):
        parts = [part.strip() for part in re.split(r"[;,|]", value) if part.strip()]
        counted = [_COUNTED.fullmatch(part) for part in parts]
        if all(counted):
            value = {match[1].strip(): int(match[2]) for match in counted if match}
        elif not any(counted):
            value = parts
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        value = dict(Counter(value))
    if not isinstance(value, dict) or not all(
        isinstance(label, str) and isinstance(count, int) and not isinstance(count, bool) and count >= 0
        for label, count in value.items()
    ):
        raise RowError(f'votes must be labels with numbers, such as ang:2;neu:1 or {{"ang": 2, "neu": 1}}, got {value!r:.60}')
    return {label: count for label, count in value.items() if count} or None


def attributes_of(row: Row) -> tuple[float, float, float] | None:
    """Valence, activation and dominance of a row, in the corpus' own scale; None where one is missing."""
    values = []
    for name in DIMENSIONS:
        value = row.get(name)
        try:
            number = float(value) if isinstance(value, str | int | float) else float("nan")
        except (ValueError, OverflowError):
            number = float("nan")
        if number != number or abs(number) == float("inf"):
            return None
        values.append(number)
    return values[0], values[1], values[2]
