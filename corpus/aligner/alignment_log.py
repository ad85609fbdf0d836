"""`alignment.jsonl`: what became of every utterance in a folder of `mer align`; one line each, the last one counts."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mer.corpus.aligner.align_error import AlignError
from mer.corpus.aligner.pocketsphinx_aligner import ALIGNER_VERSION
from mer.corpus.textgrid_file import SUFFIX
from mer.corpus.utterance import Utterance

LOG_NAME = "alignment.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one utterance."""

    id: str
    """Of the utterance."""
    fingerprint: str
    """Sha256 of its audio, its text and the aligner's version: when it differs, the utterance is aligned again."""
    seconds: float
    """Of audio; 0 where it could not be read."""
    reason: str = ""
    """Why there is no alignment; empty when there is."""
    unknown: tuple[str, ...] = ()
    """Words with a guessed pronunciation."""
    fillers_lost: int = 0
    """Tags without a sound."""


def input_fingerprint(utterance: Utterance) -> str:
    """Sha256 over what decides an alignment."""
    digest = hashlib.sha256(f"{ALIGNER_VERSION}\0{utterance.text!r}\0".encode())
    try:
        digest.update(utterance.wav.read_bytes())
    except OSError as problem:
        digest.update(f"unreadable: {type(problem).__name__}".encode())
    return digest.hexdigest()


def open_log(folder: Path, aligner: str) -> dict[str, Outcome]:
    """Make the folder with its log, or read what is there.

    Args:
        folder: new, empty, or of an earlier run.
        aligner: name and versions, for the first line.

    Raises:
        AlignError: it holds TextGrids that `mer align` did not make: they would be overwritten.
    """
    path = folder / LOG_NAME
    folder.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        return {outcome.id: outcome for outcome in _outcomes(path)}
    if any(folder.glob(f"*{SUFFIX}")):
        raise AlignError(f"{folder}: holds TextGrids but no {LOG_NAME}, so `mer align` did not make them; give a new folder")
    path.write_text(json.dumps({"mer": "alignment", "aligner": aligner}) + "\n", "utf-8")
    return {}


def log_line(outcome: Outcome) -> str:
    """One outcome as a line."""
    return json.dumps(asdict(outcome)) + "\n"


def end_torn_line(path: Path) -> None:
    """Close a line that a kill cut short, so that the next one starts anew."""
    with path.open("rb+") as file:
        if file.seek(0, 2) and (file.seek(-1, 2), file.read(1))[1] != b"\n":
            file.write(b"\n")


def _outcomes(path: Path) -> Iterator[Outcome]:
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
            yield Outcome(
                id=str(row["id"]),
                fingerprint=str(row["fingerprint"]),
                seconds=float(row["seconds"]),
                reason=str(row["reason"]),
                unknown=tuple(map(str, row["unknown"])),
                fillers_lost=int(row["fillers_lost"]),
            )
        except (ValueError, KeyError, TypeError):
            continue  # the first line, or one that a kill cut short: that utterance is aligned again
