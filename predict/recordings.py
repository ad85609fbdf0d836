"""Recordings on disk: a folder of audio and text files, a list of them, or a corpus."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mer.corpus import CorpusError, Problem, TextGridAlignment, Utterance, Wanted, corpora_at, open_corpus
from mer.corpus.columns import SPELLINGS
from mer.corpus.kinds.manifest import SUFFIXES
from mer.corpus.manifest_file import ManifestFile
from mer.corpus.manifest_reading import Reading
from mer.corpus.manifest_row import ManifestFolder, Row, RowError
from mer.corpus.media_file import SUFFIXES as MEDIA
from mer.corpus.row_format import text_in
from mer.corpus.wanted import ALL
from mer.predict.answer import Failure
from mer.predict.errors import PredictError
from mer.predict.given_audio import recording

AUDIO = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64"),
    *(".rf64", ".sph", ".voc", *MEDIA),
)
"""Endings of audio files that are looked for in a folder, in any case."""
TEXTS = (".txt", ".lab")
"""Endings of the text file beside an audio file, the first that is there."""
GRID = ".textgrid"
JUNK = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers leave in folders."""
READ = frozenset({"id", "wav", "text", "speaker", "textgrid", "channel"})
"""Columns of a list of recordings, beside times."""
UNKNOWN: Row = {"label": "unknown", "speaker": "unknown", "session": "unknown"}
"""What a corpus must say of an utterance, and nobody knows of a new recording."""


class Found(NamedTuple):
    """Recordings on disk."""

    utterances: list[Utterance]
    """What is to be predicted."""
    failed: list[Failure]
    """What cannot be, each with its reason."""
    problems: Sequence[Problem] = ()
    """What of a corpus is not read, or odd; nothing for other recordings."""


def find_recordings(path: Path | str, how: Wanted = ALL) -> Found:
    """What is to be predicted, and what of it cannot be, each with its reason; no audio is opened.

    A folder gives every audio file in it and below it, with the text of the same name beside it (`.txt` or `.lab`) and its
    `.TextGrid`, if there is one; endings in any case. Every other file is named with the reason why it is not read. A manifest
    has the columns `wav` and `text`, and optionally `id`, `textgrid`, `speaker`, `channel` and times; others are not looked
    at. Paths in it are relative to its folder and stay there. A folder that one of `CORPORA` recognises gives its labelled
    utterances, and so does a file that is no such list: cuts of lhotse, SpeechBrain's JSON.

    Args:
        path: the folder or file.
        how: where the recordings of a list are, and what lists and texts are written in.

    Raises:
        PredictError: nothing there, or a file that is no list of recordings.
        CorpusError: a damaged corpus, or a list that cannot be read.
    """
    path = Path(path)
    if _is_a_corpus(path, how):
        corpus = open_corpus(path, audio_root=how.audio_root, encoding=how.encoding)
        return Found(list(corpus), [], corpus.problems)
    if path.is_dir():
        return _in_folder(path, how.encoding)
    if not path.is_file():
        raise PredictError(
            f"{path}: nothing there; give a folder of audio with text files, or a .jsonl or .csv list of recordings"
        )
    return _in_list(path, how)


def _is_a_corpus(path: Path, how: Wanted) -> bool:
    """Whether one of `CORPORA` reads it, and it is no list of recordings."""
    found = corpora_at(path)
    if not path.is_file():
        return bool(found)
    if all(each.kind.reads_any_table for each in found):
        return False
    if path.suffix.lower() not in SUFFIXES:
        return True
    file = ManifestFile(path, how.encoding)
    return next((False for place in file.rows(lambda *_: None) if "wav" in place.row), True)


def read_recordings(path: Path | str, how: Wanted = ALL) -> tuple[list[Utterance], list[Failure]]:
    """What is to be predicted and what cannot be: `find_recordings` without what is odd in a corpus."""
    found = find_recordings(path, how)
    return found.utterances, found.failed


def _in_folder(folder: Path, encoding: str | None) -> Found:
    found, failed = list[Utterance](), list[Failure]()
    for stem, files in sorted(_by_stem(folder, failed).items()):
        wavs = [file for ending, file in files if ending in AUDIO]
        beside = dict(reversed([(ending, file) for ending, file in files if ending not in AUDIO]))
        if wavs:
            words = _words(next((beside[ending] for ending in TEXTS if ending in beside), None), encoding)
            alignment = TextGridAlignment(path=beside[GRID]) if GRID in beside else None
            if isinstance(words, Failure):
                failed.append(dataclasses.replace(words, id=stem))
            else:
                found.append(recording(wavs[0], words, name=stem, alignment=alignment))
        names: dict[Path, str | None] = {wav: f"{wavs[0]} has the same name; rename one" for wav in wavs[1:]}
        names |= {each: _why_not_read(each, with_audio=bool(wavs)) for each in beside.values()}
        failed += [Failure(id=_shown(file, folder), reason=f"{file}: {why}") for file, why in names.items() if why]
    if not found and not failed:
        raise PredictError(f"{folder}: no audio in it or below it (looked for {' '.join(AUDIO)})")
    return Found(found, failed)


def _by_stem(folder: Path, failed: list[Failure]) -> dict[str, list[tuple[str, Path]]]:
    """Files with their endings in small letters, by their path without it; what cannot be one of a recording goes to `failed`."""
    stems: dict[str, list[tuple[str, Path]]] = {}

    def refuse(path: Path, reason: str) -> None:
        failed.append(Failure(id=_shown(path, folder), reason=f"{_shown(path, Path())}: {reason}"))

    def closed(problem: OSError) -> None:
        refuse(Path(problem.filename), f"cannot be looked into ({problem.strerror})")

    for place, folders, names in os.walk(folder, onerror=closed):
        for name in sorted(each for each in folders if (Path(place) / each).is_symlink()):
            refuse(Path(place) / name, "a link to a folder, which is not followed; give that folder itself")
        for path in (Path(place) / name for name in sorted(names) if name not in JUNK):
            if _shown(path, folder) != path.relative_to(folder).as_posix():
                refuse(path, "its name is no UTF-8; rename it")
            elif path.name.startswith("._"):
                refuse(path, "left behind by macOS, which keeps no sound in such files; remove it")
            elif not path.is_file():
                refuse(path, "a link to nothing, or no ordinary file")
            else:
                stems.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append((path.suffix.lower(), path))
    return stems


def _shown(path: Path, folder: Path) -> str:
    """The path below a folder, fit for print: a backslash and a number for each byte that is no UTF-8."""
    inside = path.relative_to(folder) if path.is_relative_to(folder) else path
    return os.fsencode(inside.as_posix()).decode("utf-8", "backslashreplace")


def _words(text: Path | None, encoding: str | None) -> str | Failure | None:
    try:
        return None if text is None else " ".join(text_in(text, encoding).split())
    except CorpusError as problem:
        return Failure(id="", reason=str(problem))


def _why_not_read(path: Path, *, with_audio: bool) -> str | None:
    """Why a file that is no audio belongs to no answer; None for what is read beside some."""
    if path.suffix.lower() not in (*TEXTS, GRID):
        return f"no ending of audio that is read ({' '.join(AUDIO)})"
    return None if with_audio else "no audio of the same name beside it"


def _in_list(path: Path, how: Wanted) -> Found:
    if path.suffix.lower() not in SUFFIXES:
        raise PredictError(
            f"{path}: give the audio with --wav, or a list of recordings whose name ends with {' or '.join(SUFFIXES)}"
        )
    file, folder = ManifestFile(path, how.encoding), ManifestFolder.of(path.parent)
    reading = Reading(audio=folder if how.audio_root is None else ManifestFolder.of(how.audio_root), folder=folder)
    found, failed, lines = list[Row](), list[Failure](), dict[str, int]()

    def fail(line: int, name: str, reason: str) -> None:
        failed.append(Failure(id=name or f"line {line}", reason=f"{path}:{line}: {reason}"))

    for line, _, _, given in file.rows(lambda line, fault: fail(line, "", fault)):
        asked = {name: value for name, value in given.items() if name in READ or name not in SPELLINGS}
        row = {**UNKNOWN, **reading.complete(asked), "session": "unknown"}
        name = str(row.setdefault("id", f"line {line}"))
        try:
            faults = reading.faults(row, look=True)
            if not faults and name in lines:
                faults = [f"id {name!r} is used already in line {lines[name]}"]
            if not faults:
                reading.times.add(row)
        except RowError as problem:
            faults = [str(problem)]
        if faults:
            fail(line, name, "; ".join(faults))
        else:
            lines[name] = line
            found.append(row)
    reading.times.settle(path)
    if not found and not failed:
        raise PredictError(f"{path}: no recordings in it")
    if not found and not any("wav" in names for names in file.columns()):
        raise PredictError(f"{path}: no column `wav`, and no row that can be used; the first: {failed[0].reason}")
    return Found([_recording(row, reading) for row in found], failed)


def _recording(row: Row, reading: Reading) -> Utterance:
    """What a list says of a recording; what a corpus must say and nobody knows is left empty."""
    utterance = reading.utterance(row)
    return dataclasses.replace(utterance, speaker="" if row["speaker"] == UNKNOWN["speaker"] else utterance.speaker)
