"""EmoBox's own lists: https://github.com/emo-box/EmoBox, folder `data`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mer.corpus.columns import canonical
from mer.corpus.row_format import Numbered, RowFormat, first_entry, raw_rows
from mer.corpus.utterance import CorpusError

NEEDED = frozenset({"key", "dataset", "wav", "emo"})
_LIST = re.compile(r".*_(train|valid|dev|test)_fold_?(\d+)\.jsonl")
"""What the list of a part of a fold is called."""


class EmoBox(RowFormat):
    """A list of recordings and emotions, one fold of them, or all folds; neither speakers nor sessions nor texts."""

    title = "EmoBox"
    layout = "EmoBox's data/emodb, data/emodb/fold_1 or data/emodb/emodb.jsonl, with the recordings below the repository's folder"
    speaker_place = '"spk" (and "text", for a text branch) in every line of the .jsonl'

    def recognises(self, path: Path) -> bool:
        """A list with EmoBox's columns and without speakers, or a fold's folder of such lists, or the folder of all folds."""
        return any(map(_is_list, [*_lists(path), *_lists_of_folds(path)] if path.is_dir() else [path]))

    def rows(self, path: Path, encoding: str | None) -> Iterator[Numbered]:
        """Every line: of a fold's folder with its part, of all folds once, with its part in each as a column `fold_1`, ..."""
        if path.is_file():
            yield from raw_rows(path, encoding)
        elif lists := _lists(path):
            for file, (part, _) in lists.items():
                for number, row in raw_rows(file, encoding):
                    yield number, {**row, "split": part}
        else:
            yield from _of_all_folds(_lists_of_folds(path), encoding)


def _lists(folder: Path) -> dict[Path, tuple[str, str]]:
    """The lists of a fold's folder with part and number."""
    found = {file: _LIST.fullmatch(file.name) for file in sorted(folder.glob("*.jsonl"))}
    return {file: (name[1], name[2]) for file, name in found.items() if name}


def _lists_of_folds(folder: Path) -> dict[Path, tuple[str, str]]:
    return {file: said for inner in sorted(folder.glob("fold_*")) for file, said in _lists(inner).items()}


def _of_all_folds(lists: Mapping[Path, tuple[str, str]], encoding: str | None) -> Iterator[Numbered]:
    rows: dict[object, dict[str, object]] = {}
    parts: dict[object, dict[str, object]] = {}
    for file, (part, fold) in lists.items():
        for number, row in raw_rows(file, encoding):
            first, own = rows.setdefault(row.get("id"), row), parts.setdefault(row.get("id"), {})
            other = next((name for name in ("wav", "label") if first.get(name) != row.get(name)), None)
            if other:
                said = f"{other} {row.get(other)!r:.60}, and {first.get(other)!r:.60} in another list"
                raise CorpusError(f"{file}: line {number}: {row.get('id')!r:.60} has {said}: folds are of one corpus")
            if own.setdefault(f"fold_{fold}", part) != part:
                raise CorpusError(f"{file}: line {number}: {row.get('id')!r:.60} is in two parts of fold {fold}")
    for number, (key, row) in enumerate(rows.items(), start=1):
        yield number, {**row, **parts[key]}


def _is_list(file: Path) -> bool:
    if file.suffix.lower() != ".jsonl" or not file.is_file():
        return False
    names = tuple(first_entry(file))
    return set(names) >= NEEDED and not {"speaker", "session"} & set(canonical(names))
