"""A corpus of one's own: a JSON Lines or CSV file with one row per utterance."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mer.corpus.iemocap_session import is_synthetic
from mer.corpus.manifest_row import (
    ALIASES,
    OPTIONAL,
    REQUIRED,
    UNUSED,
    ManifestFolder,
    RowError,
    make_utterance,
)
from mer.corpus.utterance import Corpus, CorpusError, Problem, Utterance

SUFFIXES = (".jsonl", ".csv")
"""What a manifest's name ends with."""

MAX_ERRORS_SHOWN = 20

Row = tuple[int, dict[str, object]]
"""Line number, counted from 1, and the columns."""


@dataclass
class _Errors:
    """Faults of rows, collected so that all of them can be mended at once."""

    path: Path
    lines: list[str] = field(default_factory=list)

    def add(self, line: int, message: str) -> None:
        self.lines.append(f"  line {line}: {message}")

    def raise_if_any(self) -> None:
        if self.lines:
            shown = self.lines[:MAX_ERRORS_SHOWN]
            more = len(self.lines) - len(shown)
            tail = f"\n  and {more} more" if more else ""
            count = f"{len(self.lines)} {'rows' if len(self.lines) > 1 else 'row'}"
            raise CorpusError(f"{self.path}: {count} cannot be used:\n" + "\n".join(shown) + tail)


def read_manifest(path: Path, *, sessions: Sequence[str] | None = None, labels: frozenset[str] | None = None) -> Corpus:
    """Read a manifest; no audio is opened.

    Columns: `id, wav, label, speaker, session`, and optionally `text, dialogue, style, textgrid`. EmoBox's
    `key, emo, spk` mean `id, label, speaker`. Paths are relative to the manifest's folder and stay in it.
    Other columns, audio that is not there and missing transcripts are listed as problems, the latter two for
    the utterances that are kept only.

    Args:
        path: a file whose name ends with `.jsonl` or `.csv` (comma-separated, with a header), in UTF-8.
        sessions: the sessions to keep; all by default.
        labels: the labels to keep; all by default.

    Raises:
        CorpusError: if the file cannot be read, a row is malformed or repeats an id (all such rows are named,
            with their lines), a session is not there, or no utterance has one of the labels.
    """
    errors = _Errors(path)
    rows = list(_read_rows(path, errors))
    problems = _rename_columns(path, rows)
    folder = ManifestFolder.of(path)
    utterances: dict[str, Utterance] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        try:
            utterance = make_utterance(row, folder)
        except RowError as error:
            errors.add(line, str(error))
            continue
        if utterance.id in lines:
            errors.add(line, f"id {utterance.id!r} is used already in line {lines[utterance.id]}")
        lines.setdefault(utterance.id, line)
        utterances[utterance.id] = utterance
    errors.raise_if_any()
    kept = _select(path, list(utterances.values()), sessions, labels)
    for utterance in kept:
        problems += _lacks(utterance, f"{path}:{lines[utterance.id]}")
    return Corpus(
        name=re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "manifest",
        kind="manifest",
        synthetic=is_synthetic(path.parent),
        utterances=tuple(kept),
        problems=tuple(problems),
    )


def _read_rows(path: Path, errors: _Errors) -> Iterator[Row]:
    if path.suffix.lower() not in SUFFIXES:
        raise CorpusError(f"{path}: a manifest's name must end with {' or '.join(SUFFIXES)}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: not UTF-8 (byte {error.start}); save the manifest as UTF-8") from error
    return _csv_rows(path, text, errors) if path.suffix.lower() == ".csv" else _json_rows(text, errors)


def _json_rows(text: str, errors: _Errors) -> Iterator[Row]:
    # Not splitlines: U+2028 and its like may stand in JSON strings.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            errors.add(number, f"not JSON ({error})")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            errors.add(number, f"expected one JSON object per line, got {line.strip()[:60]!r}")


def _csv_rows(path: Path, text: str, errors: _Errors) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            if not cells:
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                repeated = sorted({name for name in header if header.count(name) > 1})
                if repeated:
                    raise CorpusError(f"{path}: the header names {', '.join(map(repr, repeated))} twice")
            elif len(cells) == len(header):
                yield reader.line_num, {n: c or None for n, c in zip(header, cells, strict=True)}
            else:
                errors.add(reader.line_num, f"{len(cells)} cells under {len(header)} columns; quote commas")
    except csv.Error as error:
        raise CorpusError(f"{path}:{reader.line_num}: not CSV ({error})") from error


def _rename_columns(path: Path, rows: list[Row]) -> list[Problem]:
    """Put EmoBox's names right in place, and report the columns that mean nothing here.

    Raises:
        CorpusError: if there are no rows, or a required column is in none of them.
    """
    if not rows:
        return []
    known = {*REQUIRED, *OPTIONAL}
    unknown: dict[str, int] = {}
    for line, row in rows:
        for alias, column in ALIASES.items():
            if alias in row and column not in row:
                row[column] = row.pop(alias)
        for column in row.keys() - known - UNUSED:
            unknown.setdefault(column, line)
    absent = [column for column in REQUIRED if not any(column in row for _, row in rows)]
    if absent:
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
        for column, line in sorted(unknown.items())
    ]


def _select(
    path: Path,
    utterances: list[Utterance],
    sessions: Sequence[str] | None,
    labels: frozenset[str] | None,
) -> list[Utterance]:
    if not utterances:
        raise CorpusError(f"{path}: the manifest has no rows")
    there = sorted({utterance.session for utterance in utterances})
    missing = [session for session in sessions or () if session not in there]
    if missing or (sessions is not None and not sessions):
        raise CorpusError(f"{path}: no session {', '.join(missing) or '(none asked for)'}; there are {', '.join(there)}")
    kept = [
        utterance
        for utterance in utterances
        if (sessions is None or utterance.session in sessions) and (labels is None or utterance.label in labels)
    ]
    if not kept:
        raise CorpusError(
            f"{path}: no utterance has a label of {', '.join(sorted(labels or ()))}; labels there: "
            f"{', '.join(sorted({utterance.label for utterance in utterances}))}"
        )
    return sorted(kept, key=lambda utterance: (utterance.session, utterance.id))


def _lacks(utterance: Utterance, where: str) -> list[Problem]:
    problems: list[Problem] = []
    try:
        there = utterance.wav.is_file()
    except OSError:  # a name too long for the file system
        there = False
    if not there:
        message = f"{where}: there is no {utterance.wav}"
        problems.append(Problem(kind="label without wav", where=utterance.id, message=message))
    if utterance.text is None:
        message = f"{where}: no text"
        problems.append(Problem(kind="label without transcript", where=utterance.id, message=message))
    return problems
