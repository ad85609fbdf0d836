"""How far `mer align` is, from its folder alone."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mer.results.artefact import entries, newest, number, read_bytes
from mer.status.cache_status import State, read_many
from mer.status.pace import LEAST_PATIENCE

LOG = "alignment.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignmentStatus:
    """One folder of TextGrids at one moment; how many there will be is not written anywhere."""

    folder: Path
    """Where the TextGrids are."""
    state: State
    """Done when every piece is in `alignment.jsonl`."""
    aligned: int
    """Utterances with a TextGrid."""
    failed: int
    """Utterances without, each with its reason in the log."""
    seconds: float
    """Seconds of audio looked at."""
    pieces: int
    """Files in `outcomes/`: what is done and not in the log yet."""
    last: float | None
    """Last sign of life, in seconds since the epoch."""


def read_alignment_status(folder: Path, now: float) -> AlignmentStatus:
    """Look at a folder of `mer align`.

    Args:
        folder: with `alignment.jsonl`.
        now: seconds since the epoch.
    """
    pieces = list(entries(folder / "outcomes", ".jsonl"))
    new = read_many([folder / "outcomes" / f"{name}.jsonl" for name in pieces], lambda text: dict(_outcomes(text)))
    # The log after the pieces: what is moved into it while we look is found in both, or there.
    found = dict(_outcomes(read_bytes(folder / LOG) or b""))
    for piece in new:
        found |= piece or {}
    last = newest([folder, folder / LOG, folder / "outcomes"])
    recent = last is not None and now - last < LEAST_PATIENCE
    return AlignmentStatus(
        folder=folder,
        state="done" if found and not pieces else "running" if recent else "silent" if found else "waiting",
        aligned=sum(not failed for failed, _ in found.values()),
        failed=sum(failed for failed, _ in found.values()),
        seconds=sum(seconds for _, seconds in found.values()),
        pieces=len(pieces),
        last=last,
    )


def _outcomes(text: bytes) -> Iterator[tuple[str, tuple[bool, float]]]:
    """Id, whether it failed, and seconds of audio; lines that are no outcomes are left out."""
    for line in text.split(b"\n"):
        try:
            row = json.loads(line)
            yield str(row["id"]), (bool(row["reason"]), number(row["seconds"]) or 0.0)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
