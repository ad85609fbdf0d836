"""Databases in audformat: https://audeering.github.io/audformat. Their tables are read by the package of that name, an extra."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from mer.corpus.columns import canonical
from mer.corpus.row_format import Numbered, RowFormat, beginning
from mer.corpus.utterance import CorpusError, Problem

HEADER = "db.yaml"
ENDINGS = ("csv", "parquet")
"""Formats of tables that are read; a pickle, which audformat would prefer, can run code."""
GOLD = "gold_standard"
"""A part of the names of tables whose labels were agreed on, beside tables of raters or of what was intended."""
PARTS = ("train", "dev", "test")


class Place(NamedTuple):
    """A file, or a segment of one in seconds; None where the file begins or ends."""

    file: str
    start: float | None
    end: float | None


class Table(NamedTuple):
    """What one table says."""

    name: str
    split: str
    rows: dict[Place, dict[str, object]]


class AudFormat(RowFormat):
    """A folder with `db.yaml` and its tables, by files or by segments; several tables say things of one utterance."""

    title = "audformat"
    layout = f"a folder with {HEADER}, tables in csv or parquet, one of them with a column emotion, and the media"
    speaker_place = "a column speaker of a table"

    def recognises(self, path: Path) -> bool:
        """A folder with a header that has tables."""
        return path.is_dir() and any(line.startswith("tables:") for line in beginning(path / HEADER))

    def rows(self, path: Path, encoding: str | None) -> Iterator[Numbered | Problem]:
        """Every file or segment that a table with emotions has, with what all tables say of it or of its file.

        Where there are tables called gold_standard the emotions are theirs. Labels of schemes are followed: what a scheme says
        of a speaker are columns, and a transcription that is a code is its text.
        """
        tables = _tables(path)
        speaking = [table for table in tables if any("label" in row for row in table.rows.values())]
        if not speaking:
            there = "; ".join(
                f"{name} ({', '.join(sorted({key for row in rows.values() for key in row}))})" for name, _, rows in tables
            )
            raise CorpusError(f"{path}: no table has a column of emotions (emotion, label, emo); there are {there or 'none'}")
        gold = [table for table in speaking if GOLD in table.name]
        if gold and len(gold) < len(speaking):
            others = ", ".join(table.name for table in speaking if table not in gold)
            yield Problem(
                kind="tables that are not read", where=str(path), message=f"emotions are those of {GOLD}, not of {others}"
            )
        used = [table if table not in speaking or table in (gold or speaking) else _without_labels(table) for table in tables]
        places = dict.fromkeys(place for table in gold or speaking for place in table.rows)
        for number, place in enumerate(places, start=1):
            yield number, _row(path, place, used)


def _without_labels(table: Table) -> Table:
    rows = {place: {name: value for name, value in row.items() if name != "label"} for place, row in table.rows.items()}
    return table._replace(rows=rows)


def _row(path: Path, place: Place, tables: list[Table]) -> dict[str, object]:
    """What the tables say of a segment, and where nothing is said of it, of its file."""
    row: dict[str, object] = {"wav": place.file}
    if place.start is not None:
        row |= {"start_s": place.start, "end_s": place.end}
    for where in dict.fromkeys((place, Place(place.file, None, None))):
        own: dict[str, tuple[object, str]] = {}
        for name, split, rows in tables:
            if where not in rows:
                continue
            for column, value in {**rows[where], **({"split": split} if split else {})}.items():
                known, other = own.setdefault(column, (value, name))
                if known != value and column in ("label", "speaker", "split", "text"):
                    said = f"{column} {known!r:.60} in table {other}, and {value!r:.60} in {name}"
                    raise CorpusError(f"{path}: {place.file} has {said}; keep one of these tables in a copy of {HEADER}")
        row = {column: value for column, (value, _) in own.items()} | row
    seconds = row.pop("duration", None)  # of the file, whatever the segment
    return row | {"seconds": seconds} if place.start is None and isinstance(seconds, float) else row


def _tables(path: Path) -> list[Table]:
    """The tables that are there, with the names that a manifest has for their columns."""
    try:
        import audformat
        import yaml
    except ImportError as error:
        raise CorpusError(
            f"{path}: a database in audformat, which is read by the package audformat ({error}): "
            'python -m pip install "mer-fusion[audformat]"'
        ) from error
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # audformat 1.4.3 calls what pandas 3.1 is going to remove; not for users of mer to mend.
        warnings.simplefilter("ignore", DeprecationWarning)
        for file in (path / HEADER, *(file for ending in ENDINGS for file in path.glob(f"db.*.{ending}"))):
            (Path(folder) / file.name).symlink_to(file.absolute())
        try:
            database = audformat.Database.load(folder)
            return [_table(database, name) for name in database.tables]
        except (ValueError, KeyError, TypeError, AttributeError, OSError, RuntimeError, yaml.YAMLError) as error:
            told = f"{str(error).replace(folder, str(path)):.300}"
            advice = "pickles are not read: save its tables as csv or parquet"
            raise CorpusError(f"{path}: not a database that audformat can read ({told}); {advice}") from error


def _table(database: Any, name: str) -> Table:
    table = database.tables[name]
    columns = dict(zip(table.columns, canonical(tuple(table.columns)), strict=True))
    labels = {column: _labels(database, table.columns[column].scheme_id) for column in columns}
    rows: dict[Place, dict[str, object]] = {}
    for index, values in zip(table.index, table.df.to_dict("records"), strict=True):
        file, start, end = (index, None, None) if isinstance(index, str) else index
        place = Place(str(file), *_seconds(start, end))
        said: dict[str, object] = {}
        for column, value in values.items():
            said |= _said(columns[column], value, labels[column])
        rows[place] = said
    return Table(name, _split(database, table.split_id), rows)


def _labels(database: Any, scheme: str | None) -> Mapping[Any, Any]:
    """What a scheme says of its labels: in the header, or in a table of its own."""
    found = database.schemes[scheme].labels if scheme is not None else None
    if isinstance(found, str):
        return dict(database.misc_tables[found].df.to_dict("index"))
    return found if isinstance(found, dict) else {}


def _said(column: str, value: Any, labels: Mapping[Any, Any]) -> dict[str, object]:
    """A cell as columns of a manifest; nothing where it is empty."""
    import pandas

    if pandas.isna(value):
        return {}
    if isinstance(value, pandas.Timedelta):
        value = value.total_seconds()
    about = labels.get(value)
    if column == "text":
        texts = list(about.values()) if isinstance(about, dict) else [about]
        return {column: next((text for text in texts if isinstance(text, str)), str(value))}
    more = (
        {key: text for key, text in about.items() if _is_plain(text)} if isinstance(about, dict) and column == "speaker" else {}
    )
    return {**more, column: value if isinstance(value, str | float) else value.item() if hasattr(value, "item") else str(value)}


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and value == value


def _seconds(start: Any, end: Any) -> tuple[float | None, float | None]:
    """Both ends of a segment; None for a whole file, and for an end that is the file's."""
    import pandas

    first = 0.0 if start is None or pandas.isna(start) else start.total_seconds()
    last = None if end is None or pandas.isna(end) else end.total_seconds()
    return (None, None) if first == 0 and last is None else (first, last)


def _split(database: Any, name: str | None) -> str:
    """The part of a table: its own name where that begins as its type does (`test2`), else its type, or its name."""
    if name is None:
        return ""
    kind = str(database.splits[name].type)
    return kind if kind in PARTS and not name.casefold().startswith(kind) else name
