"""A corpus of one's own: a JSON Lines or CSV file with one row per utterance."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.corpus.columns import OPTIONAL, REQUIRED
from mer.corpus.gather import lacks, mojibake, overlaps
from mer.corpus.iemocap_session import is_synthetic
from mer.corpus.label_spellings import look_alikes, one_spelling
from mer.corpus.manifest_file import ManifestFile, Place
from mer.corpus.manifest_reading import Reading, channel_of
from mer.corpus.manifest_recordings import Recordings
from mer.corpus.manifest_row import ManifestFolder, Row, RowError, is_blank
from mer.corpus.manifest_table import ManifestTable
from mer.corpus.manifest_utterances import ManifestUtterances
from mer.corpus.time_names import role_of
from mer.corpus.times_of_something_else import refuse_times_beyond
from mer.corpus.utterance import Corpus, CorpusError, Problem, Utterance
from mer.corpus.wanted import ALL, Wanted

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
    """Which columns occur, and which rows say nothing in one that others need."""

    rows: int = 0
    seen: set[str] = field(default_factory=set)
    lacking: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in ("id", "speaker", "session")})
    """Lines of the first rows without it."""
    unlabelled: list[int] = field(default_factory=list)
    """Lines of rows that say that they have no label."""

    def add(self, line: int, row: Row) -> None:
        self.rows += 1
        if not row.keys() <= self.seen and len(self.seen) < MAX_COLUMNS_SHOWN:
            self.seen |= {name for name, value in row.items() if not is_blank(value)}
        nobody = is_blank(row.get("speaker")) and is_blank(row.get("session"))  # said of the row itself
        for column, lines in self.lacking.items():
            if len(lines) <= 100 * MAX_ERRORS_SHOWN and is_blank(row.get(column)) and (column == "id" or not nobody):
                lines.append(line)

    def refuse_gaps(self, path: Path, errors: _Errors) -> None:
        """Columns that must be there, at all or in every row.

        Raises:
            CorpusError: a required column is in none of the rows.
        """
        absent = [name for name in REQUIRED if name not in self.seen and name != "id"]
        if {"speaker", "session"} & self.seen:
            absent = [name for name in absent if name not in ("speaker", "session")]
        if absent and self.rows:
            advice = "; `session` says which utterances are tested together, and without it every speaker is one"
            raise CorpusError(
                f"{path}: no column {', '.join(absent)} in any row{advice if 'session' in absent else ''}. Needed: "
                f"{', '.join(REQUIRED)}; also read: {', '.join(OPTIONAL)}"
            )
        for column in ("id", "speaker", "session"):
            for line in self.lacking[column] if column in self.seen else ():
                errors.add(line, f"no {column}")

    def problems(self, path: Path, file: ManifestFile, reading: Reading) -> list[Problem]:
        """What has been filled in, left out or not read, in words."""
        notes = {
            "no column speaker": "nobody's voice is known apart: each session is taken for one speaker",
            "no column session": "each speaker is a session of its own",
            "no column id": "the path of each recording, without its ending, is its id",
        }
        found = [
            Problem(kind=kind, where=str(path), message=f"no column {name}: {message}")
            for kind, message in notes.items()
            for name in [kind.rpartition(" ")[2]]
            if name not in self.seen and self.rows
        ]
        if self.unlabelled:
            message = f"{len(self.unlabelled):,} rows without a label are left out, the first in line {self.unlabelled[0]}"
            found.append(Problem(kind="row without label", where=f"{path}:{self.unlabelled[0]}", message=message))
        found += [
            Problem(
                kind="unknown column", where=str(path), message=f"column {name[:60]!r} is not read: {taken!r} is the {column}"
            )
            for name, taken, column in file.others
        ]
        kept = sorted(name for name in self.seen if reading.keeps(name))
        found += [
            Problem(
                kind="unknown column", where=str(path), message=f"column {name[:60]!r} holds no times and is not read as such"
            )
            for name in kept
            if role_of(name) in ("start", "end")
        ]
        if kept:
            message = f"kept with the utterances, and not used in training: {', '.join(repr(name[:60]) for name in kept)}"
            found.append(Problem(kind="other columns", where=str(path), message=message))
        return found


def read_manifest(path: Path, wanted: Wanted = ALL) -> Corpus:
    """Read a table of utterances; no audio is opened.

    Columns: `wav, label`, `speaker` or `session` or both, and optionally those of `mer.corpus.columns`, in any of the spellings
    there; times of a part in any spelling of `mer.corpus.time_names`. Paths are relative to the table's folder (or
    `wanted.audio_root`) and stay in it. What is filled in or left out, audio that is not there and missing transcripts are
    listed as problems, the latter two for the utterances that are kept only.

    The rows of more than `LARGE` utterances are read again when they are asked for. Whether their audio is there and
    no symbolic link leads out of the folder is seen only then, since a look at every file takes minutes on a network:
    such an utterance fails with this reason when its audio is opened.

    Args:
        path: `.jsonl`, or `.csv`, `.tsv`, `.txt` with a header, separated by `,` `;` `|` or tabs; in UTF-8 or UTF-16.
        wanted: what is kept of it, and where its audio is.

    Raises:
        CorpusError: if the file cannot be read, a row is malformed or repeats an id (all such rows are named,
            with their lines), several rows of one recording do not say which part they are, all parts begin after the
            end of their files, a session is not there, or no utterance has one of the labels.
    """
    return read_rows(ManifestFile(path, wanted.encoding), wanted)


def read_rows(file: ManifestFile, wanted: Wanted) -> Corpus:
    """The corpus out of the rows of a file; as `read_manifest`, whatever format they come from."""
    path, table = file.path, ManifestTable()
    if wanted.alignment_offset_ms:
        raise CorpusError(
            f"{path}: an alignment offset ({wanted.alignment_offset_ms} ms) is for IEMOCAP's own alignment files; "
            "TextGrids carry their exact times"
        )
    folder = ManifestFolder.of(path if path.is_dir() else path.parent)
    audio = folder if wanted.audio_root is None else ManifestFolder.of(wanted.audio_root)
    reading = Reading(audio=audio, folder=folder, labels=wanted.labels)
    problems = _fill(file, table, reading)
    table.select(_wanted(path, table, wanted.sessions, wanted.labels))
    utterances: Sequence[Utterance] = ManifestUtterances(file, reading, table.index(), table.starts, table.ends)
    if len(utterances) <= LARGE:
        utterances = tuple(utterances)
        refuse_times_beyond(path, tuple(reading.times.names), utterances)
        problems += [lack for line, one in zip(table.lines, utterances, strict=True) for lack in lacks(one, f"{path}:{line}")]
        problems += overlaps(utterances) + mojibake(utterances)
    elif table.textless.any():
        where = f"{path}:{table.lines[table.textless].min()}"
        message = f"{where}: no text, nor for {np.count_nonzero(table.textless) - 1:,} more utterances"
        problems.append(Problem(kind="label without transcript", where=where, message=message))
    return Corpus(
        name=re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "manifest",
        kind="manifest",
        synthetic=is_synthetic(folder.folder),
        utterances=utterances,
        problems=tuple(problems),
    )


def _fill(file: ManifestFile, table: ManifestTable, reading: Reading) -> list[Problem]:
    """Look at every row, and keep where it is; what has been noticed on the way."""
    path, errors, columns = file.path, _Errors(file.path), _Columns()
    recordings = Recordings(reading.audio, reading.complete)

    def faultless() -> Iterator[Place]:
        for place in file.rows(errors.add):
            columns.add(place.line, place.row)
            row = reading.complete(place.row)
            if not reading.is_labelled(row):
                columns.unlabelled.append(place.line)
                continue
            faults = reading.faults(row, look=len(recordings) < LARGE)
            try:
                if not faults:
                    is_part = reading.times.add(row)
                    whole = place._replace(row=row)
                    recordings.add(whole, is_part=is_part, channel=channel_of(row), look=len(recordings) < LARGE)
                    yield whole
            except RowError as problem:
                faults = [str(problem)]
            if faults:
                errors.add(place.line, "; ".join(faults))

    table.fill(faultless())
    columns.refuse_gaps(path, errors)
    for line, utterance_id, first in table.repeated():
        errors.add(line, f"id {utterance_id!r} is used already in line {first}")
    errors.raise_if_any()
    problems = reading.times.settle(path)
    lengths = reading.times.seconds()
    table.seconds = np.where(np.isnan(lengths), table.seconds, lengths)
    recordings.refuse_any(file)
    problems += columns.problems(path, file, reading)
    problems += [
        Problem(kind="look-alike labels", where=str(path), message=f"{alike}: one label in several spellings?")
        for alike in look_alikes(table.label_counts())
    ]
    if reading.labels is None:
        reading.spelling = one_spelling(table.label_counts())
    return problems


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
