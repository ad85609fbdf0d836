"""Recordings on disk: a folder of audio and text files, a list of them, or a corpus."""

import dataclasses
from pathlib import Path

from mer.corpus import TextGridAlignment, Utterance, corpora_at, open_corpus
from mer.corpus.columns import SPELLINGS
from mer.corpus.kinds.manifest import SUFFIXES
from mer.corpus.manifest_file import ManifestFile
from mer.corpus.manifest_reading import Reading
from mer.corpus.manifest_row import ManifestFolder, Row, RowError
from mer.predict.answer import Failure
from mer.predict.errors import PredictError
from mer.predict.predictor import recording

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au")
"""Endings of audio files that are looked for in a folder."""
TEXTS = (".txt", ".lab")
"""Endings of the text file beside an audio file, the first that is there."""
READ = frozenset({"id", "wav", "text", "speaker", "textgrid", "channel"})
"""Columns of a list of recordings, beside times."""
UNKNOWN: Row = {"label": "unknown", "speaker": "unknown", "session": "unknown"}
"""What a corpus must say of an utterance, and nobody knows of a new recording."""


def read_recordings(path: Path) -> tuple[list[Utterance], list[Failure]]:
    """What is to be predicted, and what of it cannot be, each with its reason; no audio is opened.

    A folder gives every audio file in it and below it, with the text of the same name beside it (`.txt` or `.lab`) and its
    `.TextGrid`, if there is one. A manifest has the columns `wav` and `text`, and optionally `id`, `textgrid`, `speaker`,
    `channel` and times; others are not looked at. Paths in it are relative to its folder and stay there. A folder that one
    of `CORPORA` recognises gives its labelled utterances.

    Args:
        path: the folder or file.

    Raises:
        PredictError: nothing there, or a file that is no list of recordings.
        CorpusError: a damaged corpus, or a list that cannot be read.
    """
    if not path.is_file() and corpora_at(path):
        return list(open_corpus(path)), []
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise PredictError(
            f"{path}: nothing there; give a folder of audio with text files, or a .jsonl or .csv list of recordings"
        )
    return _in_list(path)


def _in_folder(folder: Path) -> tuple[list[Utterance], list[Failure]]:
    found, failed = list[Utterance](), list[Failure]()
    names = dict[str, Path]()
    for wav in sorted(each for each in folder.rglob("*") if each.suffix.lower() in AUDIO and each.is_file()):
        name = wav.relative_to(folder).with_suffix("").as_posix()
        if name in names:
            failed.append(
                Failure(id=wav.relative_to(folder).as_posix(), reason=f"{wav}: {names[name]} has the same name; rename one")
            )
            continue
        names[name] = wav
        text = next((wav.with_suffix(ending) for ending in TEXTS if wav.with_suffix(ending).is_file()), None)
        grid = wav.with_suffix(".TextGrid")
        alignment = TextGridAlignment(path=grid) if grid.is_file() else None
        try:
            words = None if text is None else " ".join(text.read_text(encoding="utf-8-sig").split())
        except (OSError, UnicodeDecodeError) as problem:
            failed.append(Failure(id=name, reason=f"{text}: not readable as UTF-8 text ({problem}); save it as UTF-8"))
            continue
        found.append(recording(wav, words, name=name, alignment=alignment))
    if not found and not failed:
        raise PredictError(f"{folder}: no audio in it or below it (looked for {' '.join(AUDIO)})")
    return found, failed


def _in_list(path: Path) -> tuple[list[Utterance], list[Failure]]:
    if path.suffix.lower() not in SUFFIXES:
        raise PredictError(
            f"{path}: give the audio with --wav, or a list of recordings whose name ends with {' or '.join(SUFFIXES)}"
        )
    file, folder = ManifestFile(path), ManifestFolder.of(path.parent)
    reading = Reading(audio=folder, folder=folder)
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
    return [_recording(row, reading) for row in found], failed


def _recording(row: Row, reading: Reading) -> Utterance:
    """What a list says of a recording; what a corpus must say and nobody knows is left empty."""
    utterance = reading.utterance(row)
    return dataclasses.replace(utterance, speaker="" if row["speaker"] == UNKNOWN["speaker"] else utterance.speaker)
