"""The file of a manifest: all rows in one pass, each with its place, and single rows again from there."""

import codecs
import csv
import io
import json
import os
import threading
import weakref
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mer.corpus.columns import canonical, known, second_choices
from mer.corpus.kinds.manifest import SUFFIXES
from mer.corpus.manifest_row import Row
from mer.corpus.utterance import CorpusError
from mer.files.regular_file import open_file

MAX_COLUMN_SETS = 1000
MOST_COLUMNS = 10_000
"""Columns that a table may have: features have a format of their own."""
LONGEST_LINE = 16 << 20
"""Bytes; without a bound a file without line ends is read into memory whole."""
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_decode = json.JSONDecoder().raw_decode
_MARK = b"\xef\xbb\xbf"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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
    """A JSON Lines file or a delimited table that is kept open, so that a row can be read again when its turn comes."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        """Open it.

        Args:
            path: the file.
            encoding: of its text; None = UTF-8, or UTF-16 where it begins with that mark.

        Raises:
            CorpusError: if it is neither kind, or cannot be read.
        """
        self._begin(path, is_csv=path.suffix.lower() != ".jsonl")
        if path.suffix.lower() not in SUFFIXES:
            raise CorpusError(f"{path}: a manifest's name must end with {' or '.join(SUFFIXES)}")
        try:
            self._source = open_file(path)
            weakref.finalize(self, self._source.close)
            self._file: io.BufferedIOBase = self._in_utf8(encoding)
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error
        self._state = self._status()

    def _begin(self, path: Path, *, is_csv: bool) -> None:
        self.path = path
        self.delimiter = ""
        """What separates its cells; empty for JSON Lines and before the first row."""
        self.others: dict[tuple[str, str, str], None] = {}
        """Columns that could be what another one is taken for: such a column, the one that is taken, and what for."""
        self._is_csv = is_csv
        self._lock = threading.Lock()
        self._header: list[str] = []
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def rows(self, complain: Complain) -> Iterator[Place]:
        """Every row that can be taken apart, in order; the others are complained of.

        Raises:
            CorpusError: if the file is not UTF-8, not CSV, or its header names a column twice.
        """
        self._file.seek(0)
        places = self._csv_rows(complain) if self._is_csv else self._json_rows(complain)
        for line, start, end, row in places:
            yield Place(line, start, end, self._renamed(row))

    def columns(self) -> Iterable[tuple[str, ...]]:
        """The sets of columns of the rows so far, as they are read."""
        return self._names.values()

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

    def _in_utf8(self, encoding: str | None) -> io.BufferedIOBase:
        """The file itself, or its text in UTF-8 in memory where it is in another encoding."""
        start = self._source.read(2)
        self._source.seek(0)
        if encoding is None and start in _UTF16:
            encoding = "utf-16"
        try:
            if encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
                return self._source
            return io.BytesIO(self._source.read().decode(encoding).encode())
        except LookupError as error:
            raise CorpusError(f"{self.path}: no encoding is called {encoding!r}; give utf-8, utf-16 or cp1252") from error
        except UnicodeError as error:
            raise CorpusError(f"{self.path}: not {encoding} ({error})") from error

    def _status(self) -> tuple[int, int]:
        status = os.fstat(self._source.fileno())
        return status.st_size, status.st_mtime_ns

    def _lines(self) -> Iterator[tuple[int, int, str]]:
        """Lines that end with LF, each with its first byte and the one after its last."""
        start = end = 0
        try:
            for line in iter(partial(self._file.readline, LONGEST_LINE + 1), b""):
                if len(line) > LONGEST_LINE:
                    raise CorpusError(f"{self.path}: a line of more than {LONGEST_LINE >> 20} MiB; no table has such lines")
                start, end = end, end + len(line)
                if not start and line.startswith(_MARK):
                    start = len(_MARK)
                    line = line[start:]
                yield start, end, line.decode()
        except OSError as error:
            raise CorpusError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise CorpusError(
                f"{self.path}: not UTF-8 (byte {start + error.start} is 0x{byte:02X}); save the manifest as UTF-8, or say "
                "what it is in (--encoding cp1252 for a table that was saved on Windows in Western Europe)"
            ) from error

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

        self._header = []
        self.delimiter = self._sniffed()
        reader = csv.reader(lines(), skipinitialspace=True, delimiter=self.delimiter)
        try:
            for cells in reader:
                if cells and not self._header:
                    self._header = [cell.strip() for cell in cells]
                    while self._header and not self._header[-1]:  # a separator after the last name
                        self._header.pop()
                    self._check_columns(self._header)
                    repeated = sorted(name for name, count in Counter(self._header).items() if count > 1)
                    if repeated:
                        raise CorpusError(f"{self.path}: the header names {', '.join(map(repr, repeated))} twice")
                elif any(cells) and len(cells) >= len(self._header) and not any(cells[len(self._header) :]):
                    yield reader.line_num, start, end, self._cells(cells)
                elif any(cells):
                    said = f"{len(cells)} cells under {len(self._header)} columns, separated by {DELIMITERS[self.delimiter]}s"
                    complain(reader.line_num, f"{said}; quote cells that hold one")
                start = end
        except csv.Error as error:
            raise CorpusError(
                f"{self.path}:{reader.line_num}: not CSV ({error}); quote cells that hold a quote or a line's end, and keep each "
                f"under {csv.field_size_limit():,} characters"
            ) from error

    def _check_columns(self, names: Collection[str]) -> None:
        if len(names) > MOST_COLUMNS:
            raise CorpusError(
                f"{self.path}: {len(names):,} columns, and a table has {MOST_COLUMNS:,} at most; keep those that mer "
                "reads (docs/corpora.md) and leave the others out"
            )

    def _csv_row(self, text: str) -> dict[str, object]:
        reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, delimiter=self.delimiter)
        return self._cells(next(cells for cells in reader if any(cells)))

    def _cells(self, cells: list[str]) -> dict[str, object]:
        return {name: cell or None for name, cell in zip(self._header, cells, strict=False)}

    def _sniffed(self) -> str:
        """The separator under which most names of the header mean something; a comma where none is better."""
        header = next((text for _, _, text in self._lines() if text.strip()), "")
        self._file.seek(0)

        def names(delimiter: str) -> list[str]:
            try:
                return next(csv.reader([header], skipinitialspace=True, delimiter=delimiter), [])
            except csv.Error:
                return []

        return max(DELIMITERS, key=lambda delimiter: known(names(delimiter)))

    def _renamed(self, row: dict[str, object]) -> Row:
        """The row under the names that mean something; rows of one file mostly have the same few sets of columns."""
        given = tuple(row)
        names = self._names.get(given)
        if names is None:
            self._check_columns(given)
            if len(self._names) >= MAX_COLUMN_SETS:
                self._names.clear()
            names = self._names[given] = canonical(given)
            self.others |= dict.fromkeys(second_choices(given))
        return row if names == given else dict(zip(names, row.values(), strict=True))


class RowsInMemory(ManifestFile):
    """The rows of another format, held in memory as JSON Lines."""

    def __init__(self, path: Path, rows: Iterable[tuple[int, Row]]) -> None:
        """Take them.

        Args:
            path: the file or folder that they come from; named in messages.
            rows: each with its line, or its number, there.
        """
        self._begin(path, is_csv=False)
        self._numbers, self._file = array("q"), io.BytesIO()
        for number, row in rows:
            self._numbers.append(number)
            self._file.write(json.dumps(row).encode() + b"\n")
        self._state = self._status()

    def rows(self, complain: Complain) -> Iterator[Place]:
        """Every row, with its line in the format's own file."""
        for place in super().rows(complain):
            yield place._replace(line=self._numbers[place.line - 1])

    def _status(self) -> tuple[int, int]:
        return 0, 0


def _json_fault(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""
