"""Recordings that several rows of a manifest name: each row would get the features of all of it."""

import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mer.corpus.manifest_file import ManifestFile, Place
from mer.corpus.manifest_row import MAX_FOLDERS_KNOWN, ManifestFolder, Row, name_in
from mer.corpus.utterance import CorpusError

_SHOWN = 5


@dataclass
class Recordings:
    """Which file each row names, whatever the spelling: some 40 bytes a row."""

    folder: ManifestFolder
    complete: Callable[[Row], Row]
    """Fills in what a row leaves out."""
    _paths: "array[int]" = field(default_factory=lambda: array("q"), repr=False)
    """Hashes of resolved paths, in one case."""
    _files: "array[int]" = field(default_factory=lambda: array("q"), repr=False)
    """Hashes of device and inode of the first rows, and of nothing for the others."""
    _parts: bytearray = field(default_factory=bytearray, repr=False)
    """Which rows say what part of their recording they are."""
    _places: "array[int]" = field(default_factory=lambda: array("q"), repr=False)
    """Line, first byte and the byte after the last."""
    _folders: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict, repr=False)
    """Real path, and names of symbolic links, of the folders met last."""

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, place: Place, *, is_part: bool, channel: int | None, look: bool) -> None:
        """Note the recording of a row without faults.

        Args:
            place: the row.
            is_part: whether it says from when to when of the recording it is.
            channel: which channel it is of; rows of different ones are different recordings, the mean of all is taken for the
                first, which it is where there is one only.
            look: whether its file is looked for; links between files are found among such rows only.
        """
        text = str(place.row["wav"])
        channel = channel or 1
        self._paths.append(hash((self._real(text).casefold(), channel)))
        self._parts.append(is_part)
        self._places.extend((place.line, place.start, place.end))
        if look:
            try:
                status = (self.folder.folder / text).stat()
                self._files.append(hash((status.st_dev, status.st_ino, channel)))
            except (OSError, ValueError):
                self._files.append(hash((text, len(self._places))))

    def refuse_any(self, file: ManifestFile) -> None:
        """Refuse a manifest with several rows of one recording.

        Args:
            file: the rows are read again from it.

        Raises:
            CorpusError: with the first such rows, and what to do.
        """
        shown: list[str] = []
        count = 0
        for first, again in self._pairs():
            if self._parts[first] and self._parts[again]:
                continue
            if len(shown) < _SHOWN:
                said = self._said(file, first, again)
                if said is None:
                    continue
                shown.append(said)
            count += 1
        if not shown:
            return
        more = f"\n  and {count - len(shown):,} more" if count > len(shown) else ""
        raise CorpusError(
            f"{file.path}: {count:,} {'rows name' if count > 1 else 'row names'} a recording that an earlier row names, and each "
            "would get the features of the whole file. Say which part each row is of (columns start and end, in seconds), or "
            "delete rows that are there twice.\n" + "\n".join(f"  {one}" for one in shown) + more
        )

    def _real(self, text: str) -> str:
        """Resolved as far as that needs no look at the file itself: a folder is listed once."""
        parent, name = os.path.split(os.path.normpath(text))
        known = self._folders.get(parent)
        if known is None:
            if len(self._folders) >= MAX_FOLDERS_KNOWN:
                self._folders.clear()
            known = self._folders[parent] = _listed(self.folder.folder / parent)
        real, links = known
        whole = f"{real}{os.sep}{name}"
        return os.path.realpath(whole) if name in links else whole

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Numbers of rows that may name one recording: the first, and another."""
        seen = set[int]()
        for column in (self._paths, self._files):
            keys = np.frombuffer(column, dtype=np.int64) if column else np.array([], dtype=np.int64)
            order = np.argsort(keys, kind="stable")
            again = np.concatenate([[False], keys[order][1:] == keys[order][:-1]])
            first = np.maximum.accumulate(np.where(again, 0, np.arange(len(keys)))) if len(keys) else order
            for place in np.flatnonzero(again).tolist():
                row = int(order[place])
                if row not in seen:
                    seen.add(row)
                    yield int(order[first[place]]), row

    def _said(self, file: ManifestFile, first: int, again: int) -> str | None:
        """Two rows in words; None where they name different files after all."""
        (line, one), (other_line, other) = self._row(file, first), self._row(file, again)
        paths = [Path(self._real(str(row["wav"]))) for row in (one, other)]
        if paths[0] != paths[1]:
            try:
                if not paths[0].samefile(paths[1]):
                    return None
            except OSError:
                return None
        twice = all(one.get(column) == other.get(column) for column in ("text", "label", "speaker", "session"))
        note = ", with the same text and label" if twice else ""
        return (
            f"line {other_line} ({name_in(other, 'id')}): {str(other['wav'])[:60]!r} is the recording of line {line} "
            f"({name_in(one, 'id')}){note}"
        )

    def _row(self, file: ManifestFile, number: int) -> tuple[int, Row]:
        line, start, end = self._places[3 * number : 3 * number + 3]
        return line, self.complete(file.row(start, end))


def _listed(folder: Path) -> tuple[str, frozenset[str]]:
    real = os.path.realpath(folder)
    try:
        with os.scandir(real) as entries:
            return real, frozenset(entry.name for entry in entries if entry.is_symlink())
    except OSError:
        return real, frozenset()
