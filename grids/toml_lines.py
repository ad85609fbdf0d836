"""Line numbers of the keys of a TOML text: `tomllib` gives values without them."""

import re
import tomllib
from collections.abc import Iterator

Place = tuple[str | int, ...]
"""The way to a value: `("rows", 2, "fusion")` is the fusion of the third `[[rows]]`."""

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|.",
    re.DOTALL,
)


class TomlLines:
    """Where each key of a valid TOML text stands."""

    def __init__(self, text: str) -> None:
        """Scan a text that `tomllib` has accepted."""
        self._lines: dict[Place, int] = {}
        self._tables: dict[Place, int] = {}
        table: Place = ()
        for line, head in _statements(text):
            if head.startswith("["):
                table = self._open(head)
                place = table
            else:
                place = table + _names(head)
            for length in range(1, len(place) + 1):
                self._lines.setdefault(place[:length], line)

    def line(self, *place: str | int) -> int:
        """Line of a value, or of the nearest thing around it (items of an inline array have no line of their own)."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def _open(self, head: str) -> Place:
        """The place of a `[table]`, or of the next element of `[[tables]]`."""
        many = head.startswith("[[")
        names = _names(head[2:-2] if many else head[1:-1])
        place: Place = ()
        for name in names[:-1]:
            place = self._last((*place, name))
        place = (*place, names[-1])
        if many:
            self._tables[place] = self._tables.get(place, 0) + 1
        return self._last(place)

    def _last(self, place: Place) -> Place:
        return (*place, self._tables[place] - 1) if place in self._tables else place


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each header and each key, without values and comments."""
    line = first = 1
    depth, head, value = 0, "", False
    for token in _TOKEN.findall(text + "\n"):
        if token == "\n" and not depth:
            if head.strip():
                yield first, head.strip()
            head, value = "", False
        elif not token.startswith("#"):
            depth += (token in {"[", "{"}) - (token in {"]", "}"})
            value = value or token == "="
            if not value:
                first = line  # a key never spans lines, its value may
                head += token
        line += token.count("\n")


def _names(key: str) -> tuple[str, ...]:
    """Parts of a dotted key, quotes resolved by the parser itself."""
    names = []
    table: object = tomllib.loads(f"{key} = 0")
    while isinstance(table, dict):
        name, table = next(iter(table.items()))
        names.append(name)
    return tuple(names)
