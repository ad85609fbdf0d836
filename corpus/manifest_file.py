"""The file of a manifest: all rows in one pass, each with its place, and single rows again from there."""

import csv
import io
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mer.corpus.kinds.manifest import SUFFIXES
from mer.corpus.manifest_row import ALIASES, EMOBOX_SECONDS, Row
from mer.corpus.utterance import CorpusError

MAX_COLUMN_SETS = 1000
_decode = json.JSONDecoder().raw_decode
_MARK = b"\xef\xbb\xbf"


class Place(NamedTuple):
    """One row and where it is."""

    line: int
    """Counted from 1; the last one of a row of several."""
    start: int
    """First byte."""
    end: int
    """Byte after the last."""
    row: Row
    """The columns, under their canonical names."""


_Found = tuple[int, int, int, dict[str, object]]
Complain = Callable[[int, str], None]
"""Called with a line and what is wrong with it."""


class ManifestFile:
    """A `.jsonl` or `.csv` file that is kept open, so that a row can be read again when its turn comes."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            CorpusError: if it is neither kind, or cannot be read.
        """
        self.path = path
        self._is_csv = path.suffix.lower() == ".csv"
        if path.suffix.lower() not in SUFFIXES:
            raise CorpusError(f"{path}: a manifest's name must end with {' or '.join(SUFFIXES)}")
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._header: list[str] = []
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._state = self._status()

    def rows(self, complain: Complain) -> Iterator[Place]:
        """Every row that can be taken apart, in order; the others are complained of.

        Raises:
            CorpusError: if the file is not UTF-8, not CSV, or its header names a column twice.
        """
        self._file.seek(0)
        places = self._csv_rows(complain) if self._is_csv else self._json_rows(complain)
        for line, start, end, row in places:
            yield Place(line, start, end, self._renamed(row))

    def row(self, start: int, end: int) -> Row:
        """One row again; may be called from any thread.

        Raises:
            CorpusError: if the file has changed since it was opened.
        """
        with self._lock:
            self._file.seek(start)
            content = self._file.read(end - start)
            if self._status() != self._state:
                raise CorpusError(f"{self.path}: was changed while it was in use; start the command again, it goes on from there")
        text = content.decode()
        return self._renamed(self._csv_row(text) if self._is_csv else json.loads(text))

    def _status(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns

    def _lines(self) -> Iterator[tuple[int, int, str]]:
        """Lines that end with LF, each with its first byte and the one after its last."""
        start = end = 0
        try:
            for line in self._file:
                start, end = end, end + len(line)
                if not start and line.startswith(_MARK):
                    start = len(_MARK)
                    line = line[start:]
                yield start, end, line.decode()
        except OSError as error:
            raise CorpusError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        except UnicodeDecodeError as error:
            raise CorpusError(f"{self.path}: not UTF-8 (byte {start + error.start}); save the manifest as UTF-8") from error

    def _json_rows(self, complain: Complain) -> Iterator[_Found]:
        for number, (start, end, text) in enumerate(self._lines(), start=1):
            try:
                row, length = _decode(text)
                if text[length:] != "\n":
                    row = json.loads(text)
            except (ValueError, RecursionError):
                if text.strip():
                    complain(number, f"not JSON ({_json_fault(text.rstrip())})")
                continue
            if isinstance(row, dict):
                yield number, start, end, row
            else:
                complain(number, f"expected one JSON object per line, got {text.strip()[:60]!r}")

    def _csv_rows(self, complain: Complain) -> Iterator[_Found]:
        start = end = 0

        def lines() -> Iterator[str]:
            nonlocal end
            for first, after, text in self._lines():
                if text.count("\r") > text.endswith("\r\n"):  # some lines end with CR alone
                    end = first
                    for part in io.StringIO(text, newline=""):
                        end += len(part.encode())
                        yield part
                else:
                    end = after
                    yield text

        reader = csv.reader(lines(), skipinitialspace=True)
        self._header = []
        try:
            for cells in reader:
                if cells and not self._header:
                    self._header = [cell.strip() for cell in cells]
                    repeated = sorted({name for name in self._header if self._header.count(name) > 1})
                    if repeated:
                        raise CorpusError(f"{self.path}: the header names {', '.join(map(repr, repeated))} twice")
                elif len(cells) == len(self._header):
                    yield reader.line_num, start, end, self._cells(cells)
                elif cells:
                    columns = len(self._header)
                    complain(reader.line_num, f"{len(cells)} cells under {columns} columns; quote commas")
                start = end
        except csv.Error as error:
            raise CorpusError(f"{self.path}:{reader.line_num}: not CSV ({error})") from error

    def _csv_row(self, text: str) -> dict[str, object]:
        reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
        return self._cells(next(cells for cells in reader if cells))

    def _cells(self, cells: list[str]) -> dict[str, object]:
        return {name: cell or None for name, cell in zip(self._header, cells, strict=True)}

    def _renamed(self, row: dict[str, object]) -> Row:
        """The row with EmoBox's names put right; rows of one file mostly have the same few sets of columns."""
        given = tuple(row)
        names = self._names.get(given)
        if names is None:
            if len(self._names) >= MAX_COLUMN_SETS:
                self._names.clear()
            names = self._names[given] = _canonical(given)
        return row if names == given else dict(zip(names, row.values(), strict=True))


def _canonical(given: tuple[str, ...]) -> tuple[str, ...]:
    aliases = {alias: column for alias, column in ALIASES.items() if column not in given}
    if "key" in aliases and "key" in given and "seconds" not in given:
        aliases[EMOBOX_SECONDS] = "seconds"
    return tuple(aliases.get(name, name) for name in given)


def _json_fault(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""
