"""What `grid.json` holds: every row beside the paper, and every row against the best one."""

import csv
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.heads.features import Features
from mer.heads.grid import Grid, GridRow
from mer.heads.run_directory import write_atomically
from mer.heads.train_head import Result
from mer.protocol import ProtocolError, RunAnswers, against_published, answers_from_table, compare_rows

GRID_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """What became of one row."""

    row: GridRow
    """The row."""
    result: Result | None
    """Its result; None when the row failed."""
    failure: str | None
    """Why the row failed."""


def grid_folder(cache: Features, grid: Grid) -> str:
    """Name of the folder of `grid.json`: another one for other rows, another cache or one that has grown."""
    identity = {
        "format": GRID_FORMAT,
        "cache_key": cache.key,
        "utterances": [list(cache.utterances.ids), list(cache.utterances.labels)],
        "rows": [[row.name, row.published_ua, row.identity()] for row in grid.rows],
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, allow_nan=False).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.-]+", "-", grid.name)
    return f"{cache.spec['corpus']['name']}-{name}-{digest}"


def grid_document(cache: Features, grid: Grid, done: Sequence[RowResult]) -> dict[str, Any]:
    """The content of `grid.json`; nothing in it depends on how often the grid was interrupted."""
    pending = [_pending(row) for row in grid.rows[len(done) :]]
    return {
        "format": GRID_FORMAT,
        "grid": {"name": grid.name, "title": grid.title, "paper": grid.paper},
        "corpus": cache.spec["corpus"]["name"],
        "synthetic": cache.synthetic,
        "cache_key": cache.key,
        "rows": [*(_finished(each) for each in done), *pending],
        "comparisons": [],
        "not_compared": {},
    }


def _pending(row: GridRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "status": "pending",
        "fusion": row.fusion,
        "branches": list(row.branches),
        "configs": row.identity(),
        "published_ua": row.published_ua,
    }


def _finished(done: RowResult) -> dict[str, Any]:
    if done.result is None:
        return {**_pending(done.row), "status": "failed", "failure": done.failure}
    values = done.result.values
    return {
        **_pending(done.row),
        "status": "done",
        "directory": done.result.directory.name,
        "paper": _paper(done.row, values["summary"]),
        "summary": values["summary"],
        "utterances": values["utterances"],
        "failed_runs": values["failed_runs"],
    }


def _paper(row: GridRow, summary: Mapping[str, Any]) -> dict[str, object] | None:
    """Ours beside the paper's, where it has a figure."""
    if row.published_ua is None:
        return None
    ua = summary["all"]["ua"]
    return against_published(
        ours=ua["mean_of_folds"],
        std_seeds=ua["std_seeds"],
        seeds=len(summary["seeds"]),
        published=row.published_ua / 100,
    ).as_dict()


def grid_comparisons(done: Sequence[RowResult]) -> dict[str, Any]:
    """Every row against the best one; a row that cannot be compared is named with the reason."""
    results = {each.row.name: each.result for each in done if each.result is not None}
    if len(results) < 2:
        return {}
    ua = {name: result.values["summary"]["all"]["ua"]["mean_of_folds"] for name, result in results.items()}
    best = max(ua, key=lambda name: ua[name])
    classes = results[best].values["summary"]["classes"]
    out = {
        name: f"its classes are not those of {best}"
        for name, result in results.items()
        if result.values["summary"]["classes"] != classes
    }
    answers = {name: _answers(result, classes) for name, result in results.items() if name not in out}
    try:
        rows = compare_rows(answers, best, len(classes))
    except ProtocolError as problem:
        return {"not_compared": {**out, **dict.fromkeys(answers, str(problem))}}
    return {"comparisons": [row.as_dict() for row in rows], "not_compared": out}


def _answers(result: Result, classes: Sequence[str]) -> list[RunAnswers]:
    with (result.directory / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return answers_from_table(csv.DictReader(file), classes)


def write_grid(directory: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Put `grid.json` on disk; what it gives when read back."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    write_atomically(directory / "grid.json", text.encode())
    values: dict[str, Any] = json.loads(text)
    return values
