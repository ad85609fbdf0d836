"""Audio folders of Hugging Face datasets: https://huggingface.co/docs/datasets/audio_dataset."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mer.corpus.row_format import PART_FOLDER, Numbered, RowFormat, first_entry, first_rows, part_of, raw_rows

TABLES = tuple(f"{folder}metadata.{ending}" for folder in ("", "*/", "data/*/") for ending in ("csv", "jsonl"))
COLUMN = "file_name"


class AudioFolder(RowFormat):
    """A folder of recordings with `metadata.csv` or `metadata.jsonl`, one for all or one for each part."""

    title = "audiofolder"
    layout = f"a folder of recordings with metadata.csv or metadata.jsonl that has a column {COLUMN}"
    speaker_place = "a column speaker of the metadata"

    def recognises(self, path: Path) -> bool:
        """A folder with such a table in it, or in folders for its parts."""
        return path.is_dir() and any(True for _ in _tables(path))

    def rows(self, path: Path, encoding: str | None) -> Iterator[Numbered]:
        """Every row; the part is a column, or else the folder of the table or of the recording."""
        for table in sorted(_tables(path)):
            folder = table.parent.relative_to(path)
            for number, row in raw_rows(table, encoding):
                name = str(row.get("wav") or "").replace("\\", "/")
                first = PurePosixPath(name).parts[:1]
                part = part_of(path, table) or ({"split": first[0]} if first and PART_FOLDER.fullmatch(first[0]) else {})
                yield number, {**part, **row, "wav": str(PurePosixPath(folder) / name)}


def _tables(path: Path) -> Iterator[Path]:
    for place in TABLES:
        for file in path.glob(place):
            names = first_entry(file) if file.suffix == ".jsonl" else first_rows(file, 1)[0]
            if COLUMN in names:
                yield file
