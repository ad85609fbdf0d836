"""EmoBox's own lists: https://github.com/emo-box/EmoBox, folder `data`."""

import re
from collections.abc import Iterator
from pathlib import Path

from mer.corpus.columns import canonical
from mer.corpus.row_format import Numbered, RowFormat, first_entry, raw_rows

NEEDED = frozenset({"key", "dataset", "wav", "emo"})
_PART = re.compile(r".*_(train|valid|dev|test)_fold_?\d+\.jsonl")


class EmoBox(RowFormat):
    """A list of recordings and emotions, or the folder of one of its folds; neither speakers nor sessions nor texts."""

    title = "EmoBox"
    layout = "EmoBox's data/emodb/emodb.jsonl or data/emodb/fold_1, with the recordings below the repository's folder"
    speaker_place = '"spk" (and "text", for a text branch) in every line of the .jsonl'

    def recognises(self, path: Path) -> bool:
        """A list with EmoBox's columns and without speakers, or a fold's folder of such lists."""
        files = [file for file in path.glob("*.jsonl") if _PART.fullmatch(file.name)] if path.is_dir() else [path]
        return any(_is_list(file) for file in files)

    def rows(self, path: Path, encoding: str | None) -> Iterator[Numbered]:
        """Every line; of a fold's folder with the part that the name of its file says."""
        for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
            part = _PART.fullmatch(file.name)
            if part or file == path:
                for number, row in raw_rows(file, encoding):
                    yield number, {**row, **({"split": part[1]} if part and path.is_dir() else {})}


def _is_list(file: Path) -> bool:
    if file.suffix.lower() != ".jsonl" or not file.is_file():
        return False
    names = tuple(first_entry(file))
    return set(names) >= NEEDED and not {"speaker", "session"} & set(canonical(names))
