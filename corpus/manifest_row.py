"""One row of a manifest: its columns, and what is refused in them."""

import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

from mer.corpus.columns import REQUIRED

NAMES = ("id", "label", "speaker", "session", "dialogue", "style", "split")
MAX_NAME_BYTES = 64
"""Ids, labels, speakers, sessions, dialogues, styles and splits are at most this long in UTF-8."""
MAX_SECONDS = 1e6
MAX_FOLDERS_KNOWN = 10_000

_NAME = r"[!-~][ -~]{0,63}"
_PATH = r"(?!.*\.\.)[0-9A-Za-z][ -9;-\[\]-~]*"  # no drive, no backslash
_PLAIN = re.compile(rf"{_NAME}\n{_PATH}\n{_NAME}\n{_NAME}\n{_NAME}", re.ASCII)
_PLAIN_PATH = re.compile(_PATH, re.ASCII)
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_required = itemgetter(*REQUIRED)

Row = Mapping[str, object]


class RowError(ValueError):
    """What is wrong with one row; the manifest collects these."""


@dataclass(frozen=True, slots=True)
class ManifestFolder:
    """The folder of a manifest, which no path in it may leave."""

    folder: Path
    """As given."""
    real: str
    """With all symbolic links resolved."""
    _inside: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)
    """Folders below, and whether they are: most rows share a few."""

    @classmethod
    def of(cls, folder: Path) -> "ManifestFolder":
        """A folder, as the one that paths are relative to."""
        return cls(folder, os.path.realpath(folder))

    def inside(self, text: str) -> str:
        """A path as one that is relative to the folder: backslashes are slashes, absolute ones lose the folder's own path.

        An absolute path of another machine loses all up to a folder of this one's name. Others stay as they are, and are refused.
        """
        # A mixture is what Python on Windows makes of a folder and a name; elsewhere a backslash may be part of a name.
        path = text.replace("\\", "/") if "\\" in text and ("/" not in text or _DRIVE.match(text)) else text
        if not path.startswith("/") and not _DRIVE.match(path):
            return path
        for root in (str(self.folder.absolute()), self.real):
            if path.startswith(root + "/"):
                return path[len(root) + 1 :]
        _, found, rest = path.rpartition(f"/{Path(self.real).name}/")
        return rest if found else text

    def check_links(self, column: str, text: str) -> None:
        """Follow the symbolic links on the way to a file, which need not exist; costs a look at the disk.

        Raises:
            RowError: if one leads out.
        """
        parent, name = os.path.split(text)
        whole = self.folder / text
        try:
            if parent not in self._inside:
                if len(self._inside) >= MAX_FOLDERS_KNOWN:
                    self._inside.clear()
                self._inside[parent] = self._is_below(self.folder / parent)
            plain = name not in ("", ".") and not _is_link(whole)
            stays = (plain and self._inside[parent]) or self._is_below(whole)
        except (OSError, ValueError) as error:
            raise RowError(f"{column} {text[:60]!r} cannot be resolved ({error})") from error
        if not stays:
            raise RowError(f"{column} {text[:60]!r} leaves the manifest's folder through a symbolic link")

    def _is_below(self, path: Path) -> bool:
        return os.path.commonpath([os.path.realpath(path), self.real]) == self.real


def row_faults(row: Row) -> list[str]:
    """Everything that is wrong with a row of canonical column names, as far as that can be seen without the disk."""
    faults: list[str] = []
    plain = _is_plain(row)
    for column in NAMES[4:] if plain else NAMES:
        value = row.get(column)
        if value is not None:
            faults += name_faults(column, value)
    for column in ("textgrid",) if plain else ("wav", "textgrid"):
        value = row.get(column)
        if value is not None and value != "":
            faults += _path_faults(column, value)
    lacking = [] if plain else [name for name in REQUIRED if is_blank(row.get(name))]
    if lacking:
        faults.append(f"no {', '.join(lacking)}")
    text = row.get("text")
    if text is not None and (not isinstance(text, str) or "\0" in text or not _encodable(text)):
        faults.append(f"text must be valid text without NUL, got {text!r:.60}")
    seconds = row.get("seconds")
    if seconds is not None and stated_seconds(row) is None:
        faults.append(f"seconds must be a number above 0, got {seconds!r:.60}")
    return faults


def is_blank(value: object) -> bool:
    """Whether a cell says nothing."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def row_links(row: Row, column: str, folder: ManifestFolder) -> list[str]:
    """What is wrong with the symbolic links on the way to a faultless row's file."""
    value = row.get(column)
    try:
        if isinstance(value, str) and value:
            folder.check_links(column, value)
    except RowError as error:
        return [str(error)]
    return []


def stated_seconds(row: Row) -> float | None:
    """What the column `seconds` says; None where it says nothing, or nothing that can be."""
    value = row.get("seconds")
    if type(value) is float:  # the usual case
        return value if 0 < value <= MAX_SECONDS else None
    if value is None or isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds <= MAX_SECONDS else None


def name_in(row: Row, column: str) -> str:
    """A faultless row's id, label, ...; empty where it has none."""
    value = row.get(column)
    return "" if value is None else str(value).strip()


def path_in(row: Row, column: str, folder: ManifestFolder) -> Path:
    """A faultless row's file; where a symbolic link leads out of the folder, a path that says so, at which there is nothing."""
    text = str(row[column])
    try:
        folder.check_links(column, text)
    except RowError as error:
        return folder.folder / str(error).replace("/", "|")
    return folder.folder / text


def _is_plain(row: Row) -> bool:
    """Whether nothing can be wrong with the required columns: they are short, printable ASCII, as those of most rows are."""
    try:
        return _PLAIN.fullmatch("\n".join(_required(row))) is not None
    except (KeyError, TypeError):
        return False


def name_faults(column: str, value: object) -> list[str]:
    """A short printable text is no fault, nor is a whole number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return [f"{column} must be text or a whole number, got {value!r:.60}"]
    if isinstance(value, int) and abs(value) >= 10**MAX_NAME_BYTES:
        return [f"{column} is a number of more than {MAX_NAME_BYTES} digits"]
    text = str(value).strip()
    if _has_control(text) or not _encodable(text):
        return [f"{column} {text[:60]!r} holds a control character"]
    if len(text.encode()) > MAX_NAME_BYTES:
        return [f"{column} {text[:60]!r} is longer than {MAX_NAME_BYTES} bytes of UTF-8"]
    return []


def _path_faults(column: str, value: object) -> list[str]:
    """Relative, not upwards, and without control characters is no fault."""
    if not isinstance(value, str):
        return [f"{column} must be text, got {value!r:.60}"]
    if _PLAIN_PATH.fullmatch(value):
        return []
    if _has_control(value):
        return [f"{column} {value[:60]!r} holds a control character"]
    path = Path(value)
    if path.is_absolute() or path.drive or ".." in path.parts:
        return [f"{column} {value[:60]!r} must be relative to the manifest's folder (or --audio-root) and stay in it"]
    return []


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except OSError:  # nothing there, or a name too long for the file system
        return False


def _has_control(text: str) -> bool:
    if text.isprintable():
        return False
    return any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell
        return False
    return True
