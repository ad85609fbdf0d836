"""Corpora whose file names say what every recording is: each is read once, and what does not fit is named."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mer.corpus.corpus_kind import CorpusKind
from mer.corpus.utterance import Problem
from mer.files.regular_file import read_file

if TYPE_CHECKING:
    from mer.corpus.utterance import Utterance

AUDIO = (".wav", ".flac", ".mp3", ".ogg")
"""Endings of recordings; of two copies of one recording, the one whose ending comes first is read."""
LOOKED_AT = 100
"""Files of a folder that are looked at to recognise a corpus."""
NAMED = 3
"""Files that a problem names before it counts the rest."""
_POINTER, _POINTER_BYTES = b"version https://git-lfs", 200


class NamedRecordings(CorpusKind):
    """A folder of recordings with telling names: a subclass says `places`, `pattern`, `naming` and `spoken` beside its titles."""

    places: ClassVar[tuple[str, ...]]
    """Where recordings of this corpus are looked for to recognise it, as patterns of `Path.glob`."""
    pattern: ClassVar[re.Pattern[str]]
    """What the whole of `folder/name` of a recording is, without the ending."""
    naming: ClassVar[str]
    """The same for people."""

    def spoken(self, file: Path, name: re.Match[str]) -> "Utterance | None":
        """The utterance of a recording, as far as its name and folders say it; None where they are of something else.

        Args:
            file: the recording.
            name: what `pattern` found in its name.
        """
        raise NotImplementedError

    def recognises(self, path: Path) -> bool:
        """Whether a recording with such a name lies where this corpus has them."""
        if not path.is_dir():
            return False
        return any(self.named(file) is not None for place in self.places for file in islice(path.glob(place), LOOKED_AT))

    def utterances(self, path: Path) -> Iterable["Utterance | Problem"]:
        """Every recording once, and after them what is not read."""
        read, copies, unequal, strange, pointers = dict[str, Path](), list[Path](), list[Path](), list[Path](), list[Path]()
        for file in recordings_in(path):
            utterance = self.named(file)
            if utterance is None:
                strange.append(file)
            elif _is_pointer(file):
                pointers.append(file)
            elif (first := read.setdefault(utterance.id, file)) is not file:
                same = first.suffix.lower() != file.suffix.lower() or first.stat().st_size == file.stat().st_size
                (copies if same else unequal).append(file)
            else:
                yield utterance
        told = (
            ("recording of another name", strange, f"not read, as they are not called {self.naming}"),
            ("pointer of Git LFS", pointers, "are no audio but pointers to it: run `git lfs pull` in the corpus"),
            ("recording that is there twice", copies, "not read again: the same recordings lie elsewhere in this corpus"),
            ("recordings of one name that differ", unequal, "not read: recordings of these names and another size are"),
        )
        yield from (summed_up(kind, path, files, message) for kind, files, message in told if files)

    def named(self, file: Path) -> "Utterance | None":
        """What the name of a recording says; None for any other file, also one that is not called like this."""
        if not _is_recording(file.name):
            return None
        name = self.pattern.fullmatch(f"{file.parent.name}/{file.stem}")
        return None if name is None else self.spoken(file, name)


def recordings_in(path: Path, endings: Sequence[str] = AUDIO) -> list[Path]:
    """Every audio file in a folder and below it, in order: better endings first, then those that lie higher.

    Hidden files and folders (`._a.wav` and `__MACOSX` of an archive made on a Mac) are no recordings. Links to folders are
    followed, each folder once.
    """
    files = [file for file in _walk(path, set()) if _is_recording(file.name, endings)]
    return sorted(files, key=lambda file: (endings.index(file.suffix.lower()), len(file.parts), file))


def summed_up(kind: str, path: Path, files: Sequence[Path], message: str) -> Problem:
    """One problem of many files: their number and the first of them by name."""
    shown = ", ".join(str(file.relative_to(path)) for file in files[:NAMED])
    more = f" and {len(files) - NAMED:,} more" if len(files) > NAMED else ""
    return Problem(kind=kind, where=f"{len(files):,} files", message=f"{message}: {shown}{more}")


def _walk(path: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    for folder, inner, names in os.walk(path, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner[:] = [name for name in inner if not name.startswith(".") and name != "__MACOSX"]
        yield from (Path(folder, name) for name in names)


def _is_recording(name: str, endings: Sequence[str] = AUDIO) -> bool:
    return not name.startswith(".") and name.lower().endswith(tuple(endings))


def _is_pointer(file: Path) -> bool:
    try:
        return file.stat().st_size < _POINTER_BYTES and read_file(file).startswith(_POINTER)
    except OSError:
        return False
