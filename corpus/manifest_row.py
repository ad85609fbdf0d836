"""One row of a manifest: its columns, and what is refused in them."""

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.corpus.praat_alignment import TextGridAlignment
from mer.corpus.utterance import Utterance

REQUIRED = ("id", "wav", "label", "speaker", "session")
OPTIONAL = ("text", "dialogue", "style", "textgrid")
ALIASES = {"key": "id", "emo": "label", "spk": "speaker"}
"""EmoBox's names for three of them."""
UNUSED = frozenset({"dataset", "type", "sample_rate", "length", "num_frame", "task", "channel", "lang"})
"""EmoBox's other columns, known and not needed."""

MAX_NAME_BYTES = 64
"""Ids, labels, speakers, sessions, dialogues and styles are at most this long in UTF-8."""


class RowError(ValueError):
    """What is wrong with one row; the manifest collects these."""


@dataclass(frozen=True, slots=True)
class ManifestFolder:
    """The folder of a manifest, which no path in it may leave."""

    folder: Path
    """As given."""
    real: str
    """With all symbolic links resolved."""

    @classmethod
    def of(cls, manifest: Path) -> "ManifestFolder":
        """The folder that a manifest lies in."""
        return cls(manifest.parent, os.path.realpath(manifest.parent))

    def resolve(self, column: str, text: str) -> Path:
        """The file that a path in the manifest means, which need not exist.

        Raises:
            RowError: if it is absolute, goes up, holds a control character, or a link leads out.
        """
        path = Path(text)
        if _has_control(text):
            raise RowError(f"{column} {text[:60]!r} holds a control character")
        if path.is_absolute() or path.drive or ".." in path.parts:
            raise RowError(f"{column} {text[:60]!r} must be relative to the manifest's folder and stay in it")
        whole = self.folder / path
        try:
            real = os.path.realpath(whole)
            stays = os.path.commonpath([real, self.real]) == self.real
        except (OSError, ValueError) as error:
            raise RowError(f"{column} {text[:60]!r} cannot be resolved ({error})") from error
        if not stays:
            raise RowError(f"{column} {text[:60]!r} leaves the manifest's folder through a symbolic link")
        return whole


def make_utterance(row: Mapping[str, object], folder: ManifestFolder) -> Utterance:
    """Turn a row with canonical column names into an utterance.

    Raises:
        RowError: listing everything that is wrong with the row.
    """
    faults: list[str] = []

    def name(column: str) -> str:
        try:
            return _name(column, row.get(column))
        except RowError as error:
            faults.append(str(error))
            return ""

    def path(column: str) -> Path | None:
        value = row.get(column)
        try:
            if value is None or value == "":
                return None
            if not isinstance(value, str):
                raise RowError(f"{column} must be text, got {value!r:.60}")
            return folder.resolve(column, value)
        except RowError as error:
            faults.append(str(error))
            return None

    columns = {column: name(column) for column in ("id", "label", "speaker", "session", "dialogue", "style")}
    wav, textgrid = path("wav"), path("textgrid")
    lacking = [column for column in REQUIRED if row.get(column) is None or not str(row[column]).strip()]
    if lacking:
        faults.append(f"no {', '.join(lacking)}")
    text = row.get("text")
    if text is not None and (not isinstance(text, str) or "\0" in text or not _encodable(text)):
        faults.append(f"text must be valid text without NUL, got {text!r:.60}")
    if faults or wav is None:
        raise RowError("; ".join(faults))
    speaker = columns["speaker"]
    return Utterance(
        id=columns["id"],
        label=columns["label"],
        speaker=speaker,
        session=columns["session"],
        dialogue=columns.get("dialogue", ""),
        style=columns.get("style", ""),
        wav=wav,
        text=text if isinstance(text, str) else None,
        alignment=None if textgrid is None else TextGridAlignment(path=textgrid, speaker=speaker),
    )


def _name(column: str, value: object) -> str:
    """A short printable text; whole numbers are taken as such, absent values are empty."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RowError(f"{column} must be text or a whole number, got {value!r:.60}")
    if isinstance(value, int) and abs(value) >= 10**MAX_NAME_BYTES:
        raise RowError(f"{column} is a number of more than {MAX_NAME_BYTES} digits")
    text = str(value).strip()
    if _has_control(text) or not _encodable(text):
        raise RowError(f"{column} {text[:60]!r} holds a control character")
    if len(text.encode()) > MAX_NAME_BYTES:
        raise RowError(f"{column} {text[:60]!r} is longer than {MAX_NAME_BYTES} bytes of UTF-8")
    return text


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell
        return False
    return True
