"""Formats of other toolkits whose entries become rows, which the rules of manifests then read."""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mer.corpus.columns import canonical
from mer.corpus.corpus_kind import CorpusKind
from mer.corpus.manifest_row import ManifestFolder, Row
from mer.corpus.utterance import CorpusError, Problem
from mer.corpus.wanted import Wanted
from mer.files.regular_file import open_file, read_file

if TYPE_CHECKING:
    from mer.corpus.utterance import Corpus

LOOKED_AT = 1 << 20
"""Bytes of a file that are looked at to recognise a format."""
FOLDERS_ABOVE = 4
"""How far above its table recordings are looked for: paths of a repository begin at its root."""
PART_FOLDER = re.compile(r"train(ing)?|dev(el|elopment)?|val(id|idation)?|(test|eval)\w*", re.IGNORECASE)
"""A folder of this name is a part of the corpus' own partition."""

_GZIP = b"\x1f\x8b"

Numbered = tuple[int, dict[str, object]]
"""An entry with its line, or its number where a file has no lines."""


class RowFormat(CorpusKind):
    """A format out of which rows are made: a subclass says `rows` and `speaker_place` beside its titles and `recognises`."""

    speaker_place: ClassVar[str]
    """Where this format says who speaks, for people whose files do not."""

    def rows(self, path: Path, encoding: str | None) -> Iterable[Numbered | Problem]:
        """Every entry under the names of a manifest's columns, and what is odd; paths relative to what the format says.

        Raises:
            CorpusError: a file that cannot be read, or an entry that cannot become a row.
        """
        raise NotImplementedError

    def read(self, path: Path, wanted: Wanted) -> "Corpus":
        """The wanted rows; what is filled in, left out and missing on disk is listed as problems.

        Who speaks is taken from the names of the recordings where the format does not say it and they are those of a corpus
        that is known. Recordings are looked for below `wanted.audio_root`, or else below the nearest folder above the
        format's files in which the first of them is.
        """
        from mer.corpus.manifest import read_rows
        from mer.corpus.manifest_file import RowsInMemory

        given = list(self.rows(path, wanted.encoding))
        odd = [each for each in given if isinstance(each, Problem)]
        found = [(each[0], _renamed(each[1])) for each in given if not isinstance(each, Problem)]
        if not found:
            raise CorpusError(f"{path}: no utterance in it; expected {self.layout}")
        notes = odd + self._with_speakers(path, [row for _, row in found])
        if wanted.audio_root is None:
            wanted = replace(wanted, audio_root=_audio_root(path, [str(row.get("wav", "")) for _, row in found]))
        corpus = read_rows(RowsInMemory(path, found), wanted)
        return replace(corpus, problems=(*notes, *corpus.problems))

    def _with_speakers(self, path: Path, rows: list[dict[str, object]]) -> list[Problem]:
        """Fill in speakers, sessions and texts that the names of known recordings say; a note of it."""
        if any({"speaker", "session"} & row.keys() for row in rows):
            return []
        kinds = dict[str, None]()
        for row in rows:
            said = _said_by_name(Path(str(row.get("wav", ""))))
            if said is None:
                raise CorpusError(
                    f"{path}: it says neither who speaks nor which utterances are tested together (session), and "
                    f"{str(row.get('wav'))[:60]!r} is called as in no corpus that is known. Give the speaker of every utterance: "
                    f"{self.speaker_place}; or give the corpus' own folder (docs/corpora.md has those that are read)"
                )
            kind, columns = said
            kinds[kind] = None
            for name, value in columns.items():
                row.setdefault(name, value)
        message = f"speaker, session and, where known, text are those that names of recordings of {', '.join(kinds)} say"
        return [Problem(kind="speakers by name", where=str(path), message=message)]


def raw_rows(file: Path, encoding: str | None) -> Iterator[Numbered]:
    """The rows of a delimited table or JSON Lines file.

    Raises:
        CorpusError: the first row that cannot be taken apart, or a file that cannot be read.
    """
    from mer.corpus.manifest_file import ManifestFile

    def complain(line: int, message: str) -> None:
        raise CorpusError(f"{file}: line {line}: {message}")

    for place in ManifestFile(file, encoding).rows(complain):
        yield place.line, dict(place.row)


def text_in(file: Path, encoding: str | None = None) -> str:
    """A text file, or one that gzip has packed, as text: UTF-8, or UTF-16 with its mark, unless an encoding is given.

    Raises:
        CorpusError: a file that cannot be read.
    """
    try:
        content = read_file(file)
        content = gzip.decompress(content) if content.startswith(_GZIP) else content
        return content.decode(encoding or _encoding_of(content))
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{file}: cannot be read ({error})") from error
    except (LookupError, UnicodeError) as error:
        raise CorpusError(f"{file}: not {encoding or 'UTF-8'} ({error}); say what it is in (--encoding cp1252)") from error


def beginning(file: Path) -> list[str]:
    """The first lines of a text, as far as a look goes; empty for what is no file or no text in UTF-8 or UTF-16."""
    try:
        with open_file(file) as opened:
            content = (gzip.GzipFile(fileobj=opened) if file.suffix.lower() == ".gz" else opened).read(LOOKED_AT)
        return content.decode(_encoding_of(content), errors="ignore").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeError):
        return []


def first_rows(file: Path, count: int) -> list[list[str]]:
    """The cells of the first rows of a CSV, spaces around them taken away; empty lists for rows that are not there."""
    try:
        rows = list(csv.reader(beginning(file)[:count], skipinitialspace=True))
    except csv.Error:  # a cell of more than 128 KiB
        rows = []
    return [[cell.strip() for cell in row] for row in [*rows, *[[]] * (count - len(rows))]]


def first_entry(file: Path) -> Mapping[str, object]:
    """The JSON object in the first line; empty where there is none."""
    try:
        entry = json.loads(next((line for line in beginning(file) if line.strip()), ""))
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def part_of(path: Path, file: Path) -> dict[str, object]:
    """`split` where a folder between two says which part of the corpus a file is of."""
    return next(({"split": name} for name in file.relative_to(path).parts[:-1] if PART_FOLDER.fullmatch(name)), {})  # pyright: ignore[reportReturnType]


def _encoding_of(content: bytes) -> str:
    return "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _renamed(row: Row) -> dict[str, object]:
    return dict(zip(canonical(tuple(row)), row.values(), strict=True))


def _audio_root(path: Path, wavs: list[str]) -> Path:
    home = path if path.is_dir() else path.parent
    folder = ManifestFolder.of(home)
    first = next((wav for wav in wavs if wav.strip()), "")
    if folder.inside(first).startswith("/"):
        above = commonpath([str(Path(wav).parent) for wav in wavs if wav.startswith("/")])
        raise CorpusError(
            f"{path}: its recordings are at absolute paths outside of it, the first {first[:200]!r}. Say in which folder they "
            f"may be read: --audio-root {above} (or a folder of the same name, if they lie elsewhere on this machine)"
        )
    around = [home, *islice(home.absolute().parents, FOLDERS_ABOVE)]
    return next((each for each in around if _is_file(each / folder.inside(first))), home)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _said_by_name(wav: Path) -> tuple[str, dict[str, object]] | None:
    """Name of the one known corpus whose recordings are called like this, and what that says; None for none or several."""
    from mer.corpus.corpora import CORPORA
    from mer.corpus.named_recordings import NamedRecordings
    from mer.corpus.utterance_id import parse_utterance_id

    turn = parse_utterance_id(wav.stem)
    if turn is not None:
        columns = {"speaker": turn.speaker, "session": turn.session, "dialogue": turn.dialogue, "style": turn.style}
        return "iemocap", dict(columns)
    said = dict[str, dict[str, object]]()
    for name, kind in CORPORA.items():
        if isinstance(kind, NamedRecordings) and (named := kind.named(wav)) is not None:
            said[name] = {"speaker": named.speaker, "session": named.session, **({"text": named.text} if named.text else {})}
    return next(iter(said.items())) if len(said) == 1 else None
