"""How the rows of one table become utterances: what is filled in, left out and taken for what."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from mer.corpus.columns import OPTIONAL, REQUIRED, SPELLINGS, UNUSED
from mer.corpus.label_spellings import is_no_label
from mer.corpus.manifest_row import (
    MAX_NAME_BYTES,
    ManifestFolder,
    Row,
    RowError,
    is_blank,
    name_in,
    path_in,
    row_faults,
    row_links,
    stated_seconds,
)
from mer.corpus.manifest_times import Times
from mer.corpus.manifest_votes import DIMENSIONS, attributes_of, votes_of
from mer.corpus.part import PartAlignment
from mer.corpus.praat_alignment import TextGridAlignment
from mer.corpus.time_names import role_of
from mer.corpus.utterance import Utterance

MAX_KEPT = 200
"""Longer cells of other columns are not kept."""
CHANNELS = {"a": 1, "l": 1, "left": 1, "b": 2, "r": 2, "right": 2}
_NOT_KEPT = {*REQUIRED, *OPTIONAL, *UNUSED}


@dataclass
class Reading:
    """The rules of one table, and what its rows have taught so far."""

    audio: ManifestFolder
    """What the paths of recordings are relative to."""
    folder: ManifestFolder
    """What those of alignments are relative to."""
    labels: frozenset[str] | None = None
    """The labels that are asked for; then a word such as `none` may be one."""
    times: Times = field(default_factory=Times)
    spelling: Mapping[str, str] = field(default_factory=dict)
    """Labels that are taken for other ones."""

    def faults(self, row: Row, *, look: bool) -> list[str]:
        """Everything that is wrong with a completed row.

        Args:
            row: from `complete`.
            look: whether symbolic links are followed, which costs a look at the disk.
        """
        found = row_faults(row) or (self._link_faults(row) if look else [])
        for check in (lambda: channel_of(row), lambda: votes_of(row.get("votes"))):
            try:
                check()
            except RowError as problem:
                found.append(str(problem))
        return found

    def complete(self, row: Row) -> dict[str, object]:
        """The row with an id, and speaker and session where it has one of them; paths with slashes, blank cells left out."""
        filled = {name: value for name, value in row.items() if not is_blank(value)}
        wav, grid = filled.get("wav"), filled.get("textgrid")
        if isinstance(wav, str):
            filled["wav"] = wav = self.audio.inside(wav.strip())
        if isinstance(grid, str):
            filled["textgrid"] = self.folder.inside(grid)
        if "id" not in filled and isinstance(wav, str):
            filled["id"] = self._id(wav, filled)
        if "session" not in filled and "speaker" in filled:
            filled["session"] = filled["speaker"]
        if "speaker" not in filled and "session" in filled:
            filled["speaker"] = f"unknown in {filled['session']}"[:MAX_NAME_BYTES]
        return filled

    def is_labelled(self, row: Row) -> bool:
        """Whether a row has a label, or a word that is asked for as one."""
        label = row.get("label")
        return not is_no_label(label) or str(label).strip() in (self.labels or ())

    def utterance(self, row: Row) -> Utterance:
        """Turn a completed row without faults into an utterance.

        Where a symbolic link leads a file out of the folder, the utterance has a path that says so instead, at which there
        is nothing: whoever opens it fails with this reason.
        """
        speaker, label, text = name_in(row, "speaker"), name_in(row, "label"), row.get("text")
        wav = path_in(row, "wav", self.audio)
        part = replace(self.times.part(row, wav), channel=channel_of(row))
        grid = TextGridAlignment(path=path_in(row, "textgrid", self.folder), speaker=speaker) if "textgrid" in row else None
        return Utterance(
            id=name_in(row, "id"),
            label=self.spelling.get(label, label),
            speaker=speaker,
            session=name_in(row, "session"),
            dialogue=name_in(row, "dialogue"),
            style=name_in(row, "style"),
            split=name_in(row, "split"),
            wav=wav,
            text=text if isinstance(text, str) else None,
            alignment=None if grid is None else PartAlignment.of(grid, part, wav, name_in(row, "id")),
            seconds=part.end - part.start if part.end is not None else stated_seconds(row),
            start=part.start,
            end=part.end,
            channel=part.channel,
            votes=votes_of(row.get("votes")),
            attributes=attributes_of(row),
            columns=self._others(row) or None,
        )

    def keeps(self, name: str) -> bool:
        """Whether a column's cells are kept as they are."""
        return name not in _NOT_KEPT and name not in self.times.names

    def _others(self, row: Row) -> dict[str, str]:
        names = [name for name in row if self.keeps(name)] + (list(DIMENSIONS) if attributes_of(row) is None else [])
        said = {name: value for name in names if isinstance(value := row.get(name), str | int | float)}
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in said.items()}
        return {name: text for name, text in texts.items() if len(text) <= MAX_KEPT and text.isprintable()}

    def _id(self, wav: str, row: Row) -> str:
        """The path without its ending, and times and channel of a part; as much of its end as an id may have."""
        times = "".join(f"-{row[name]}" for name in row if name not in SPELLINGS and role_of(name) in ("start", "end", "length"))
        times += f"-{row['channel']}" if "channel" in row else ""
        parts = PurePosixPath(wav).with_suffix("").parts if PurePosixPath(wav).name else (wav,)
        while len(parts) > 1 and len(("/".join(parts) + times).encode()) > MAX_NAME_BYTES:
            parts = parts[1:]
        return "/".join(parts) + times

    def _link_faults(self, row: Row) -> list[str]:
        return row_links(row, "wav", self.audio) + row_links(row, "textgrid", self.folder)


def channel_of(row: Row) -> int | None:
    """Which channel a row is of, from 1; None where it does not say.

    Raises:
        RowError: 0, or something else that is no channel.
    """
    value = row.get("channel")
    if value is None:
        return None
    text = str(value).strip().lower()
    number = CHANNELS.get(text, int(text) if text.isdigit() and len(text) < 4 else 0)
    if number < 1:
        raise RowError(f"channel must be 1, 2, ... (or left, right), got {value!r:.60}")
    return number
