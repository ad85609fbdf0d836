"""A corpus of one's own: a JSON Lines or CSV file with one row per utterance."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.corpus.gather import lacks
from mer.corpus.iemocap_session import is_synthetic
from mer.corpus.manifest_file import ManifestFile, Place
from mer.corpus.manifest_recordings import Recordings
from mer.corpus.manifest_row import OPTIONAL, REQUIRED, UNUSED, ManifestFolder, Row, row_faults, row_links
from mer.corpus.manifest_table import ManifestTable
from mer.corpus.manifest_times import TimeColumns
from mer.corpus.manifest_utterances import ManifestUtterances
from mer.corpus.utterance import Corpus, CorpusError, Problem, Utterance

LARGE = 20_000
"""A manifest of more rows is not held in memory, and its files are looked for when their turn comes."""

MAX_ERRORS_SHOWN = 20
MAX_COLUMNS_SHOWN = 100


@dataclass
class _Errors:
    """Faults of rows, collected so that all of them can be mended at once; the first ones with their text."""

    path: Path
    count: int = 0
    shown: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, message: str) -> None:
        self.count += 1
        self.shown.append((line, message))
        if len(self.shown) > 100 * MAX_ERRORS_SHOWN:
            self._trim()

    def raise_if_any(self) -> None:
        if self.count:
            self._trim()
            more = self.count - len(self.shown)
            tail = f"\n  and {more} more" if more else ""
            count = f"{self.count} {'rows' if self.count > 1 else 'row'}"
            lines = "\n".join(f"  line {line}: {message}" for line, message in self.shown)
            raise CorpusError(f"{self.path}: {count} cannot be used:\n{lines}{tail}")

    def _trim(self) -> None:
        self.shown = sorted(self.shown, key=lambda fault: fault[0])[:MAX_ERRORS_SHOWN]


@dataclass
class _Columns:
    """Which columns occur, and where those first do that mean nothing here."""

    rows: int = 0
    seen: set[str] = field(default_factory=set)
    unknown: dict[str, int] = field(default_factory=dict)

    def add(self, line: int, row: Row) -> None:
        self.rows += 1
        if not row.keys() <= self.seen:
            for column in row.keys() - self.seen:
                if column in REQUIRED or column in OPTIONAL or column in UNUSED:
                    self.seen.add(column)
                elif len(self.unknown) < MAX_COLUMNS_SHOWN:
                    self.seen.add(column)
                    self.unknown[column] = line

    def problems(self, path: Path) -> list[Problem]:
        """The columns that are not read.

        Raises:
            CorpusError: if a required column is in none of the rows.
        """
        absent = [column for column in REQUIRED if column not in self.seen]
        if absent and self.rows:
            advice = "; `session` says which utterances are tested together" if "session" in absent else ""
            raise CorpusError(
                f"{path}: no column {', '.join(absent)} in any row{advice}. Needed: {', '.join(REQUIRED)}; "
                f"also read: {', '.join(OPTIONAL)}"
            )
        read = ", ".join((*REQUIRED, *OPTIONAL))
        return [
            Problem(
                kind="unknown column",
                where=f"{path}:{line}",
                message=f"column {column[:60]!r} is not read; those that are: {read}",
            )
            for column, line in sorted(self.unknown.items())
        ]


def read_manifest(path: Path, *, sessions: Sequence[str] | None = None, labels: frozenset[str] | None = None) -> Corpus:
    """Read a manifest; no audio is opened.

    Columns: `id, wav, label, speaker, session`, and optionally `text, dialogue, style, textgrid, seconds`. EmoBox's
    `key, emo, spk` mean `id, label, speaker`, and its `length` means `seconds`. Paths are relative to the manifest's
    folder and stay in it. Other columns, audio that is not there and missing transcripts are listed as problems, the
    latter two for the utterances that are kept only.

    The rows of more than `LARGE` utterances are read again when they are asked for. Whether their audio is there and
    no symbolic link leads out of the folder is seen only then, since a look at every file takes minutes on a network:
    such an utterance fails with this reason when its audio is opened.

    Args:
        path: a file whose name ends with `.jsonl` or `.csv` (comma-separated, with a header), in UTF-8.
        sessions: the sessions to keep; all by default.
        labels: the labels to keep; all by default.

    Raises:
        CorpusError: if the file cannot be read, a row is malformed or repeats an id (all such rows are named,
            with their lines), rows mean parts of recordings (times of their start and end, or several rows of one file), a
            session is not there, or no utterance has one of the labels.
    """
    file, folder, table = ManifestFile(path), ManifestFolder.of(path), ManifestTable()
    errors, columns = _Errors(path), _Columns()
    times, recordings = TimeColumns(folder), Recordings(folder)

    def faultless() -> Iterator[Place]:
        for number, place in enumerate(file.rows(errors.add)):
            columns.add(place.line, place.row)
            faults = row_faults(place.row) or (row_links(place.row, folder) if number < LARGE else [])
            if faults:
                errors.add(place.line, "; ".join(faults))
            else:
                times.add(place.line, place.row)
                recordings.add(place, look=number < LARGE)
                yield place

    table.fill(faultless())
    problems = columns.problems(path)
    for line, utterance_id, first in table.repeated():
        errors.add(line, f"id {utterance_id!r} is used already in line {first}")
    errors.raise_if_any()
    times.refuse_any(path)
    recordings.refuse_any(file)
    table.select(_wanted(path, table, sessions, labels))
    utterances: Sequence[Utterance] = ManifestUtterances(file, folder, table.index(), table.starts, table.ends)
    if len(utterances) <= LARGE:
        utterances = tuple(utterances)
        problems += [lack for line, one in zip(table.lines, utterances, strict=True) for lack in lacks(one, f"{path}:{line}")]
    elif table.textless.any():
        where = f"{path}:{table.lines[table.textless].min()}"
        message = f"{where}: no text, nor for {np.count_nonzero(table.textless) - 1:,} more utterances"
        problems.append(Problem(kind="label without transcript", where=where, message=message))
    return Corpus(
        name=re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "manifest",
        kind="manifest",
        synthetic=is_synthetic(path.parent),
        utterances=utterances,
        problems=tuple(problems),
    )


def _wanted(path: Path, table: ManifestTable, sessions: Sequence[str] | None, labels: frozenset[str] | None) -> NDArray[np.bool_]:
    """Which rows have one of the sessions and one of the labels."""
    if not len(table):
        raise CorpusError(f"{path}: the manifest has no rows")
    missing = [session for session in sessions or () if session not in table.sessions]
    if missing or (sessions is not None and not sessions):
        there = ", ".join(sorted(table.sessions))
        raise CorpusError(f"{path}: no session {', '.join(missing) or '(none asked for)'}; there are {there}")
    kept = np.ones(len(table), dtype=np.bool_)
    if sessions is not None:
        kept &= np.isin(table.session, [table.sessions[session] for session in sessions])
    if labels is not None:
        kept &= np.isin(table.label, [number for label, number in table.labels.items() if label in labels])
    if not kept.any():
        raise CorpusError(
            f"{path}: no utterance has a label of {', '.join(sorted(labels or ()))}; labels there: "
            f"{', '.join(sorted(table.labels))}"
        )
    return kept
