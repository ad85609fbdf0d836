"""A class map of the user's own: a TOML file that says which label makes which class."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mer.corpus.utterance import CorpusError
from mer.files.regular_file import read_text_file

ENDING = ".toml"
"""What tells the path of such a file from the name of a class map."""
REST = "*"
"""In `drop`: every label that is not named."""
EXAMPLE = 'order = ["negative", "positive"]\ndrop = ["xxx"]\n[classes]\nang = "negative"\nhap = "positive"'


class OwnClassMap(dict[str, str]):
    """Label to class, sorted by class in their order, and the labels that are left out on purpose."""

    def __init__(self, path: Path, mapping: dict[str, str], dropped: Iterable[str]) -> None:
        super().__init__(mapping)
        self.path, self.dropped = path, frozenset(dropped)

    def forgotten(self, labels: Iterable[str]) -> list[str]:
        """Labels that the file neither gives a class nor drops; an utterance without a label has none to name."""
        return [] if REST in self.dropped else sorted(set(labels) - set(self) - self.dropped - {""})


def read_class_map(path: Path) -> OwnClassMap:
    """Read `[classes]` (label = "class") and, above it, `order` (all classes) and `drop` (labels; "*" is all others).

    Without `order` classes are numbered as they first appear.

    Raises:
        CorpusError: no such file, no TOML, or something in it that is not understood.
    """
    try:
        found = tomllib.loads(read_text_file(path, "utf-8-sig"))
    except (OSError, ValueError, RecursionError) as problem:
        raise CorpusError(f"classes {path}: cannot be read ({problem}); expected a file such as\n{EXAMPLE}") from None
    mapping, order, drop = found.pop("classes", None), found.pop("order", None), found.pop("drop", [])
    if not isinstance(mapping, dict) or not all(isinstance(each, str) and each for each in mapping.values()) or found:
        odd = f"knows no {', '.join(found)}" if found else 'needs a table [classes] with lines label = "class", and nothing else'
        raise CorpusError(f"classes {path}: {odd}; order and drop stand above [classes], as in\n{EXAMPLE}")
    classes = list(dict.fromkeys(mapping.values()))
    order = classes if order is None else _words(path, "order", order)
    if sorted(order) != sorted(classes):
        raise CorpusError(f"classes {path}: order names {', '.join(order)}, [classes] has {', '.join(classes)}: name each once")
    dropped = _words(path, "drop", drop)
    if both := sorted(set(dropped) & set(mapping)):
        raise CorpusError(f"classes {path}: {', '.join(both)} is dropped and has a class: take it out of one of the two")
    return OwnClassMap(path, dict(sorted(mapping.items(), key=lambda each: order.index(each[1]))), dropped)


def _words(path: Path, name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise CorpusError(f'classes {path}: {name} must be a list of texts such as ["a", "b"], got {value!r}')
    return value
