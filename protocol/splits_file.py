"""A file that says which utterance belongs to which part: `--splits FILE`."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.corpus.text_file import read_lines
from mer.corpus.utterance import CorpusError
from mer.protocol.errors import ProtocolError
from mer.protocol.part_names import EXPECTED, is_test, part_names

LAYOUT = (
    "expected a CSV with a header: id and split (the part of each utterance), or id and fold (the fold that tests it), or id and "
    "one column of parts a fold, such as fold_1 to fold_5"
)
DELIMITERS = (",", ";", "\t", "|")
PARTS, FOLD = ("split", "part", "partition", "set", "subset"), "fold"
ONE_FOLD = re.compile(r"fold[ _-]*(\d+)")


@dataclass(frozen=True, kw_only=True)
class SplitsFile:
    """Fold by name, each with the part of every utterance that it uses."""

    folds: Mapping[str, Mapping[str, str]]
    """Name of a column to {id: part}; one column `split` has the empty name."""


def read_splits(path: Path) -> SplitsFile:
    """The parts that a file gives.

    Args:
        path: a CSV; the delimiter is what its header has: comma, semicolon, tab or bar.

    Raises:
        ProtocolError: a file that cannot be read, without the columns, with an id twice, or with a word that means no part.
    """
    try:
        lines = [line for line in read_lines(path) if line.strip()]
    except CorpusError as problem:
        raise ProtocolError(str(problem)) from None
    if len(lines) < 2:
        raise ProtocolError(f"{path}: no row below the header; {LAYOUT}")
    delimiter = max(DELIMITERS, key=lines[0].count)
    header, *rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    names = [name.strip().casefold() for name in header]
    if "id" not in names:
        raise ProtocolError(f"{path}: no column 'id' among {', '.join(map(repr, header))}; {LAYOUT}")
    ids = [_cell(row, names.index("id")) for row in rows]
    if again := sorted(name for name in set(ids) if ids.count(name) > 1) if len(set(ids)) < len(ids) else []:
        raise ProtocolError(f"{path}: id {again[0]!r} has {ids.count(again[0])} rows; give every utterance one")
    columns = {name: dict(zip(ids, [_cell(row, place) for row in rows], strict=True)) for place, name in enumerate(names)}
    return SplitsFile(folds=_folds(path, columns))


def _cell(row: list[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""


def _folds(path: Path, columns: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    whole = [name for name in columns if name in PARTS]
    several = {found[1]: name for name in columns if (found := ONE_FOLD.fullmatch(name))}
    if whole:
        return {"": _parts(path, whole[0], columns[whole[0]])}
    if several:
        return {fold: _parts(path, name, columns[name]) for fold, name in several.items()}
    if FOLD not in columns:
        raise ProtocolError(f"{path}: neither a column 'split' nor one that begins with 'fold'; {LAYOUT}")
    tested = {name: fold for name, fold in columns[FOLD].items() if fold}
    names = sorted(set(tested.values()), key=lambda fold: (not fold.isdecimal(), int(fold) if fold.isdecimal() else 0, fold))
    if len(names) < 2:
        raise ProtocolError(f"{path}: column 'fold' has {len(names)} fold, at least two are needed; {LAYOUT}")
    return {fold: {name: "test" if own == fold else "train" for name, own in tested.items()} for fold in names}


def _parts(path: Path, column: str, words: Mapping[str, str]) -> dict[str, str]:
    parts = part_names(words.values())
    if parts is None:
        odd = sorted(word for word in set(words.values()) - {""} if part_names([word]) is None)
        raise ProtocolError(f"{path}: column {column!r} says {', '.join(map(repr, odd[:5]))}; expected {EXPECTED}")
    found = set(parts.values())
    if "train" not in found or not any(map(is_test, found)):
        raise ProtocolError(
            f"{path}: column {column!r} has the parts {', '.join(sorted(found)) or 'none'}: a part train and at least one test "
            f"part are needed; {LAYOUT}"
        )
    return {name: parts[word] for name, word in words.items() if word in parts}
