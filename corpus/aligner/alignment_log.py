"""What became of every utterance in a folder of `mer align`: a line in `alignment.jsonl`, or still in `outcomes/`.

Workers, also of several machines, write a file of their own per piece into `outcomes/`; whoever finds that all utterances
have one puts them into the log. Nothing is appended to a file that another one may write.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path

from mer.corpus.aligner.align_error import AlignError
from mer.corpus.textgrid_file import SUFFIX
from mer.corpus.utterance import Utterance
from mer.files import Disk, make_folder, write_atomically, write_file
from mer.files.regular_file import read_file

LOG_NAME, PIECES = "alignment.jsonl", "outcomes"
CHECK = "check"
"""Key of a line for the CRC-32 of its other values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one utterance."""

    id: str
    """Which utterance it is."""
    fingerprint: str
    """Sha256 of its audio, its text and the aligner's fingerprint: when it differs, the utterance is aligned again."""
    seconds: float
    """Seconds of its audio; 0 where it could not be read."""
    reason: str = ""
    """Why there is no alignment; empty when there is."""
    unknown: tuple[str, ...] = ()
    """Words that the aligner knows nothing of."""
    fillers_lost: int = 0
    """Tags without a sound."""
    unknown_characters: Mapping[str, int] = field(default_factory=dict)
    """Characters that the aligner has no symbol for, and how often each was passed over."""


NAMES = {each.name for each in fields(Outcome)}


def input_fingerprint(utterance: Utterance, aligner: str) -> str:
    """Sha256 over what decides an alignment.

    Args:
        utterance: its audio is read.
        aligner: the aligner's fingerprint.
    """
    digest = hashlib.sha256(f"{aligner}\0{utterance.text!r}\0".encode())
    if not utterance.part.is_whole:
        digest.update(f"{utterance.part}\0".encode())
    try:
        digest.update(read_file(utterance.wav))
    except OSError as problem:
        digest.update(f"unreadable: {type(problem).__name__}".encode())
    return digest.hexdigest()


def open_log(folder: Path, aligner: str) -> dict[str, Outcome]:
    """Make the folder with its log, or read what is there, by utterance.

    Args:
        folder: new, empty, or of an earlier run.
        aligner: name and versions, for the first line.

    Raises:
        AlignError: it holds TextGrids of another aligner, or some that `mer align` did not make: they would be overwritten.
    """
    path = folder / LOG_NAME
    make_folder(folder)
    # The log is looked for once more: another command may begin at the same moment.
    if not path.is_file() and any(folder.glob(f"*{SUFFIX}")) and not path.is_file():
        raise AlignError(f"{folder}: holds TextGrids but no {LOG_NAME}, so `mer align` did not make them; give a new folder")
    try:
        content = [memoryview(_first_line(aligner).encode())]
        write_atomically(path, content, temporaries=folder, disk=Disk(), exclusive=True)
    except FileExistsError:
        _refuse_another(path, aligner)
        return read_outcomes(folder)
    return {}


def _refuse_another(log: Path, aligner: str) -> None:
    """Another version or model goes on in the same folder, and aligns again; another aligner does not."""
    try:
        before = str(json.loads(read_file(log).split(b"\n")[0])["aligner"])
    except (ValueError, KeyError, TypeError):
        return  # damaged: every utterance is aligned again as far as the log does not hold it
    if before.split()[:1] != aligner.split()[:1]:
        raise AlignError(f"{log.parent}: holds alignments by {before}, and these are by {aligner}; give another folder")


def read_outcomes(folder: Path) -> dict[str, Outcome]:
    """The newest outcome of every utterance."""
    # Pieces first: what somebody moves into the log meanwhile is found there.
    pieces = [outcome for path in _pieces(folder) for outcome in _outcomes(path)]
    return {outcome.id: outcome for outcome in [*_outcomes(folder / LOG_NAME), *pieces]}


def outcomes_of(folder: Path, piece: str, ids: Iterable[str]) -> dict[str, Outcome]:
    """The outcomes of some utterances that went into one piece, as far as there are any."""
    found = {outcome.id: outcome for outcome in _outcomes(folder / PIECES / f"{piece}.jsonl")}
    wanted = set(ids)
    if not wanted <= found.keys():
        found = {**_log(folder), **found}
    return {name: found[name] for name in wanted & found.keys()}


def keep_outcomes(folder: Path, piece: str, outcomes: Iterable[Outcome]) -> None:
    """Put the outcomes of a piece on disk, beside what it holds of other utterances; whole or not at all.

    Raises:
        OSError: the file system refuses.
    """
    path = folder / PIECES / f"{piece}.jsonl"
    make_folder(path.parent)
    held = {outcome.id: outcome for outcome in [*_outcomes(path), *outcomes]}
    write_file(path, _lines(held).encode())


def merge_outcomes(folder: Path, aligner: str) -> None:
    """Put all pieces into the log and remove them; two commands that do this at once write the same."""
    pieces = _pieces(folder)
    if not pieces:
        return
    outcomes: Mapping[str, Outcome] = {
        outcome.id: outcome for path in [folder / LOG_NAME, *pieces] for outcome in _outcomes(path)
    }
    write_file(folder / LOG_NAME, (_first_line(aligner) + _lines(outcomes)).encode())
    for path in pieces:
        path.unlink(missing_ok=True)
    try:
        (folder / PIECES).rmdir()
    except OSError:
        pass  # another command works on other utterances


def _first_line(aligner: str) -> str:
    return json.dumps({"mer": "alignment", "aligner": aligner}) + "\n"


def _lines(outcomes: Mapping[str, Outcome]) -> str:
    """By id: what is aligned again stands where it stood, whatever it was done again for."""
    return "".join(_line(outcomes[name]) for name in sorted(outcomes))


def _line(outcome: Outcome) -> str:
    row = asdict(outcome)
    if not row["unknown_characters"]:  # lines of before it was counted stay as they are
        del row["unknown_characters"]
    return json.dumps({**row, CHECK: _check(row)}) + "\n"


def _check(row: Mapping[str, object]) -> str:
    return f"{zlib.crc32(json.dumps(row, sort_keys=True).encode()):08x}"


def _pieces(folder: Path) -> list[Path]:
    """Oldest first."""
    found = []
    for path in (folder / PIECES).glob("[!.]*.jsonl"):
        try:
            found.append((path.stat().st_mtime_ns, path.name, path))
        except FileNotFoundError:
            continue  # in the log by now
    return [path for _, _, path in sorted(found)]


def _log(folder: Path) -> dict[str, Outcome]:
    state = (folder / LOG_NAME).stat()
    return _log_at(folder, state.st_ino, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _log_at(folder: Path, *stamp: int) -> dict[str, Outcome]:
    return {outcome.id: outcome for outcome in _outcomes(folder / LOG_NAME)}


def _outcomes(path: Path) -> Iterator[Outcome]:
    try:
        text = read_file(path).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.split("\n"):
        try:
            row = json.loads(line)
            if row.pop(CHECK, None) not in (None, _check(row)) or row.keys() - NAMES:
                continue  # a bit of it has changed; lines of earlier versions have no check
            yield Outcome(
                id=str(row["id"]),
                fingerprint=str(row["fingerprint"]),
                seconds=float(row["seconds"]),
                reason=str(row["reason"]),
                unknown=tuple(map(str, row["unknown"])),
                fillers_lost=int(row["fillers_lost"]),
                unknown_characters={str(each): int(count) for each, count in row.get("unknown_characters", {}).items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # the first line, or one that a kill cut short: that utterance is aligned again
