"""What one `SessionN` folder of an IEMOCAP release holds, listed and parsed but not yet judged."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mer.corpus.emo_evaluation import LabelLine, read_emo_evaluation
from mer.corpus.transcriptions import read_transcription
from mer.corpus.utterance import CorpusError, Problem
from mer.corpus.utterance_id import parse_utterance_id

LABEL_FOLDER = Path("dialog", "EmoEvaluation")
TEXT_FOLDER = Path("dialog", "transcriptions")
WAV_FOLDER = Path("sentences", "wav")
ALIGNMENT_FOLDER = Path("sentences", "ForcedAlignment")

MARKER = "SYNTHETIC.json"
"""A file of this name beside the session folders says that the speech is synthetic."""

_SESSION = re.compile(r"Session([1-9][0-9]?)")


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFiles:
    """The four kinds of files of a session, by utterance id."""

    session: str
    folder: Path
    labels: dict[str, LabelLine]
    """Every labelled utterance."""
    texts: dict[str, str]
    """Every numbered utterance with a transcript line."""
    wavs: dict[str, frozenset[str]]
    """Per dialogue, the ids that have audio."""
    alignments: dict[str, frozenset[str]]
    """Per dialogue, the names of the alignment files (`<id>.wdseg`, ...)."""
    problems: tuple[Problem, ...]
    """Malformed lines and files."""

    def wav(self, utterance_id: str) -> Path:
        """Where the audio of an utterance is, or ought to be."""
        dialogue = utterance_id.rpartition("_")[0]
        return self.folder / WAV_FOLDER / dialogue / f"{utterance_id}.wav"

    def has_wav(self, utterance_id: str) -> bool:
        """Whether that file was there when the folder was listed."""
        return utterance_id in self.wavs.get(utterance_id.rpartition("_")[0], ())

    def alignment_files(self, utterance_id: str) -> dict[str, Path]:
        """The alignment files of an utterance that there are, by suffix: `wdseg`, `phseg`, `syseg`."""
        dialogue = utterance_id.rpartition("_")[0]
        there = self.alignments.get(dialogue, frozenset())
        folder = self.folder / ALIGNMENT_FOLDER / dialogue
        names = {suffix: f"{utterance_id}.{suffix}" for suffix in ("wdseg", "phseg", "syseg")}
        return {suffix: folder / name for suffix, name in names.items() if name in there}

    def wavs_without_label(self) -> list[str]:
        """Ids of audio files that no label line names, sorted."""
        return sorted(name for names in self.wavs.values() for name in names if name not in self.labels)

    def texts_without_label(self) -> list[str]:
        """Ids of numbered transcript lines that no label line names, sorted."""
        return sorted(name for name in self.texts if name not in self.labels)


def is_synthetic(root: Path) -> bool:
    """Whether a corpus folder carries the marker of synthetic speech."""
    return (root / MARKER).is_file()


def has_sessions(root: Path) -> bool:
    """Whether there is a `SessionN` folder in a folder."""
    return bool(_list_sessions(root))


def session_folders(root: Path) -> dict[str, Path]:
    """The `SessionN` folders of a release by their number, in order.

    Raises:
        CorpusError: if there is none.
    """
    return _list_sessions(root) or _refuse(root, "there is no folder Session1 to Session5 in it")


def _refuse(root: Path, what: str) -> NoReturn:
    raise CorpusError(
        f"{root}: not a usable IEMOCAP release: {what}. Expected the folder that holds Session1 to Session5, each with "
        f"{LABEL_FOLDER.as_posix()} and {WAV_FOLDER.as_posix()}"
    )


def _list_sessions(folder: Path) -> dict[str, Path]:
    numbers = sorted(int(match[1]) for name in _subfolders(folder) if (match := _SESSION.fullmatch(name)))
    return {str(number): folder / f"Session{number}" for number in numbers}


def _subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, hidden ones left out; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []


def _file_names(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Names in a folder by their ends, sorted. Hidden ones are left out: macOS leaves `._<name>` behind."""
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries)
        return sorted(name for name in names if name.endswith(suffixes) and not name.startswith("."))


def _by_dialogue(folder: Path, suffixes: tuple[str, ...]) -> dict[str, frozenset[str]]:
    # Listing 151 folders is much faster than asking for 40,000 files one by one.
    return {dialogue: frozenset(_file_names(folder / dialogue, suffixes)) for dialogue in _subfolders(folder)}


def read_session(folder: Path, session: str) -> SessionFiles:
    """List and parse one session folder.

    Args:
        folder: the `SessionN` folder.
        session: its number; label lines of another session are a problem and are left out.

    Raises:
        CorpusError: if label or audio folder is missing, or an utterance has two label lines.
    """
    for needed in (LABEL_FOLDER, WAV_FOLDER):
        if not (folder / needed).is_dir():
            _refuse(folder.parent, f"{folder.name} has no folder {needed.as_posix()}")
    labels: dict[str, LabelLine] = {}
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for name in _file_names(folder / LABEL_FOLDER, (".txt",)):
        lines, found = read_emo_evaluation(folder / LABEL_FOLDER / name)
        problems += found
        for line in lines:
            if line.id in labels:
                raise CorpusError(
                    f"utterance {line.id} is labelled twice, in {labels[line.id].where} and {line.where}; "
                    "ids must be unique: remove the file or line that does not belong to the release"
                )
            parsed = parse_utterance_id(line.id)
            if parsed is None or parsed.session != session:
                message = f"{line.id} does not belong to session {session} and is left out"
                problems.append(Problem(kind="label of another session", where=line.where, message=message))
            else:
                labels[line.id] = line
    for name in _file_names(folder / TEXT_FOLDER, (".txt",)) if (folder / TEXT_FOLDER).is_dir() else ():
        found_texts, found = read_transcription(folder / TEXT_FOLDER / name)
        problems += found
        texts = found_texts | texts
    wavs = _by_dialogue(folder / WAV_FOLDER, (".wav",))
    return SessionFiles(
        session=session,
        folder=folder,
        labels=labels,
        texts=texts,
        wavs={dialogue: frozenset(n.removesuffix(".wav") for n in names) for dialogue, names in wavs.items()},
        alignments=_by_dialogue(folder / ALIGNMENT_FOLDER, (".wdseg", ".phseg", ".syseg")),
        problems=tuple(problems),
    )
