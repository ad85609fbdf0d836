"""Tables and texts that come with a corpus, in the encodings that their makers used."""

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mer.corpus.utterance import CorpusError
from mer.files.regular_file import read_file

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_of(path: Path, otherwise: str) -> str:
    """A file as text: UTF-16 with its mark, UTF-8, or else what the corpus' makers used.

    A byte that stands for no character becomes U+FFFD. The control characters U+0080 to U+009F, which are what quotation
    marks of Windows become when they are read as Latin-1, are those marks again.

    Args:
        path: the file.
        otherwise: the encoding of a file that is not UTF-8, such as `cp1252` or `gb18030`.

    Raises:
        CorpusError: a file that cannot be read.
    """
    try:
        data = read_file(path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error
    if data.startswith(_UTF_16):
        return _mended(data.decode("utf-16", errors="replace"))
    try:
        return _mended(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _mended(data.decode(otherwise, errors="replace"))


def rows_of(path: Path, needed: Sequence[str], otherwise: str = "cp1252") -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its columns, spaces around names and values taken away.

    Args:
        path: the file.
        needed: columns that have to be there.
        otherwise: see `text_of`.

    Raises:
        CorpusError: a file that cannot be read, or is without a column that is needed.
    """
    try:
        cells = list(csv.reader(io.StringIO(text_of(path, otherwise), newline="")))
    except csv.Error as problem:
        raise CorpusError(f"{path}: not a table that can be read ({problem})") from None
    names = [name.strip() for name in next(iter(cells), [])]
    if missing := [name for name in needed if name not in names]:
        raise CorpusError(f"{path}: no column {', '.join(missing)}; expected {', '.join(needed)}, found {', '.join(names)}")
    rows = [[value.strip() for value in row] for row in cells[1:] if any(row)]
    short = next((number for number, row in enumerate(rows, start=2) if len(row) < len(names)), None)
    if short is not None:
        raise CorpusError(f"{path}: row {short} has fewer values than the {len(names)} columns: the file is damaged")
    return [dict(zip(names, row, strict=False)) for row in rows]


def _mended(text: str) -> str:
    if not any("\x80" <= character <= "\x9f" for character in text):
        return text
    return "".join(_from_windows(each) if "\x80" <= each <= "\x9f" else each for each in text)


def _from_windows(character: str) -> str:
    try:
        return character.encode("latin-1").decode("cp1252")
    except UnicodeDecodeError:  # five of them stand for nothing there either
        return character
