"""What `grid.json` holds: every row beside the paper, and every row against the best one."""

import csv
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from mer.files import write_file
from mer.grids.grid import Config, Grid, GridRow
from mer.protocol import ProtocolError, RunAnswers, against_published, answers_from_table, check_setup, compare_rows
from mer.results import Result
from mer.results.file_hashes import seal
from mer.results.names import GRID, PREDICTIONS

GRID_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class GridOrigin:
    """What the rows of a grid are trained on."""

    corpus: str
    """Name of the corpus."""
    synthetic: bool
    """Whether the speech is synthetic."""
    key: str | None
    """Key of the feature cache; None for rows that are fine-tuned."""
    ids: tuple[str, ...]
    """Ids of its utterances."""
    labels: tuple[str, ...]
    """The corpus' own label of each."""


@dataclass(frozen=True, kw_only=True)
class RowResult(Generic[Config]):
    """What became of one row."""

    row: GridRow[Config]
    """The row."""
    result: Result | None
    """Its result; None when the row failed."""
    failure: str | None
    """Why the row failed."""


def grid_folder(origin: GridOrigin, grid: Grid[Config]) -> str:
    """Name of the folder of `grid.json`: another one for other rows, another cache or one that has grown."""
    identity = {
        "format": GRID_FORMAT,
        "cache_key": origin.key,
        "utterances": [list(origin.ids), list(origin.labels)],
        "rows": [[row.name, row.published_ua, row.identity(), *_published_wa(row)] for row in grid.rows],
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, allow_nan=False).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.-]+", "-", grid.name)
    return f"{origin.corpus}-{name}-{digest}"


def _published_wa(row: GridRow[Config]) -> list[float]:
    return [] if row.published_wa is None else [row.published_wa]


def grid_document(origin: GridOrigin, grid: Grid[Config], done: Mapping[int, RowResult[Config]]) -> dict[str, Any]:
    """The content of `grid.json`; nothing in it depends on how often the grid was interrupted.

    Args:
        origin: what the rows are trained on.
        grid: the table.
        done: the rows that are over, by number from 1.
    """
    return {
        "format": GRID_FORMAT,
        "grid": {"name": grid.name, "title": grid.title, "paper": grid.paper, "paper_seeds": grid.paper_seeds},
        "corpus": origin.corpus,
        "synthetic": origin.synthetic,
        "cache_key": origin.key,
        "rows": [
            _finished(done[number], grid.paper_seeds) if number in done else _pending(row)
            for number, row in enumerate(grid.rows, 1)
        ],
        "comparisons": [],
        "not_compared": {},
    }


def _pending(row: GridRow[Config]) -> dict[str, Any]:
    # No figure of a paper until there is a result that it may stand beside.
    return {
        "name": row.name,
        "status": "pending",
        "fusion": row.fusion,
        "branches": list(row.branches),
        "configs": row.identity(),
        "published_ua": None,
        "published_wa": None,
        "setup": None,
    }


def _finished(done: RowResult[Config], paper_seeds: int | None) -> dict[str, Any]:
    if done.result is None:
        return {**_pending(done.row), "status": "failed", "failure": done.failure}
    values = done.result.values
    return {
        **_pending(done.row),
        "status": "done",
        "directory": done.result.directory.name,
        **_beside_paper(done.row, values, paper_seeds),
        "summary": values["summary"],
        "utterances": values["utterances"],
        "removed_for_text": values.get("removed_for_text") or {},
        "notes": values.get("notes") or [],
        "failed_runs": values["failed_runs"],
    }


def _beside_paper(row: GridRow[Config], values: Mapping[str, Any], paper_seeds: int | None) -> dict[str, Any]:
    """The paper's figures with our difference where the set-up is the paper's; else what differs, and no figure."""
    figures = {"ua": row.published_ua, "wa": row.published_wa}
    if all(figure is None for figure in figures.values()):
        return {"paper": None, "paper_wa": None}
    check = check_setup(row.setup, values, row.identity())
    shown = figures if check.fits else dict.fromkeys(figures)
    return {
        "published_ua": shown["ua"],
        "published_wa": shown["wa"],
        "setup": {"differs": list(check.differs), "unknown": list(check.unknown)},
        "paper": _paper(shown["ua"], values["summary"], "ua", paper_seeds),
        "paper_wa": _paper(shown["wa"], values["summary"], "wa", paper_seeds),
    }


def _paper(
    published: float | None, summary: Mapping[str, Any], measure: str, paper_seeds: int | None
) -> dict[str, object] | None:
    """Ours beside the paper's, where it has a figure."""
    if published is None:
        return None
    score = summary["all"][measure]
    return against_published(
        ours=score["mean_of_folds"],
        std_seeds=score["std_seeds"],
        seeds=len(summary["seeds"]),
        published=published / 100,
        paper_seeds=paper_seeds,
    ).as_dict()


def grid_comparisons(done: Sequence[RowResult[Config]]) -> dict[str, Any]:
    """Every row against the best one; a row that cannot be compared is named with the reason."""
    ended = {each.row.name: each.result for each in done if each.result is not None}
    results = {name: result for name, result in ended.items() if "ua" in result.values["summary"]["all"]}
    if len(ended) < 2:
        return {}
    rated = {name: "it predicts ratings, whose differences are not tested" for name in ended if name not in results}
    if len(results) < 2:
        return {"not_compared": rated}
    ua = {name: result.values["summary"]["all"]["ua"]["mean_of_folds"] for name, result in results.items()}
    best = max(ua, key=lambda name: ua[name])
    classes = results[best].values["summary"]["classes"]
    out = rated | {
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
    with (result.directory / PREDICTIONS).open(encoding="utf-8", newline="") as file:
        return answers_from_table(csv.DictReader(file), classes)


def write_grid(directory: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Put `grid.json` on disk; what it gives when read back."""
    sealed = seal(json.loads(json.dumps(document, allow_nan=False)))
    text = json.dumps(sealed, indent=2, allow_nan=False) + "\n"
    write_file(directory / GRID, text.encode())
    values: dict[str, Any] = json.loads(text)
    return values
