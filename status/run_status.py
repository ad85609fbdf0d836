"""How far the runs of one run directory are, from its files alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.cache.spec import SET_FILE
from mer.results.artefact import entries, inside, listed, newest, number, read_bytes, read_object
from mer.results.names import CONFIG, FAILED, FINISHED, RESULT, RUNNING, STARTS, run_of_stem
from mer.status.cache_status import State, all_have_ended, planned_shards

PATIENCE = 900.0
"""Seconds without a file after which a run counts as silent; an epoch of a head takes far less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRun:
    """One fold and seed that is being trained, or that somebody left behind."""

    fold: str
    """Test session."""
    seed: int
    """Its seed."""
    epoch: int
    """The last one that is over."""
    validation_ua: float | None
    """Validation UA of that epoch."""
    validation_ccc: float | None
    """Likewise the mean CCC, of a run on ratings."""
    last: float | None
    """When it was over, in seconds since the epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedRun:
    """One fold and seed that ended without a number."""

    fold: str
    """Test session."""
    seed: int
    """Its seed."""
    reason: str
    """Why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """One run directory at one moment."""

    directory: Path
    """Where it lies."""
    name: str
    """What is trained: head and branches."""
    state: State
    """Whether it is done, or somebody trains it."""
    finished: int
    """Folds and seeds that have ended with a number."""
    total: int | None
    """All folds and seeds; None where the sessions are not known."""
    running: tuple[TrainingRun, ...]
    """Those that train, by the time of their last epoch."""
    failed: tuple[FailedRun, ...]
    """Those that ended without a number."""
    ua: float | None
    """UA of a finished result, mean of folds."""
    wa: float | None
    """Its WA."""
    ccc: float | None
    """Mean CCC of the dimensions, of a finished result of ratings, mean of folds."""
    last: float | None
    """Last sign of life, in seconds since the epoch."""


def read_run_status(directory: Path, caches: Path, now: float) -> RunStatus:
    """Look at a run directory.

    Args:
        directory: with `config.json`, `result.json` or both.
        caches: folder of the feature caches: the sessions of one tell how many folds "all" are.
        now: seconds since the epoch.
    """
    asked = read_object(directory / CONFIG) or {}
    finished = entries(directory / FINISHED, ".json")
    running = _running(directory)
    failed = _failed(directory)
    last = newest([directory, *(directory / kind for kind in (FINISHED, FAILED, STARTS))])
    last = max((time for time in (last, *(run.last for run in running)) if time is not None), default=None)
    # Last of all: what a finishing process tidies away while we look is in its result.
    result = read_object(directory / RESULT)
    if result is not None:
        return _finished(directory, result, last)
    ended = all_have_ended(directory / STARTS)
    silent = last is None or now - last > PATIENCE
    # A grid makes the directories of all its rows before the first is trained.
    begun = bool(finished or running or failed)
    return RunStatus(
        directory=directory,
        name=_name(directory, inside(asked, "config", "fusion"), inside(asked, "config", "branches")),
        state="waiting" if not begun else "stopped" if ended else "silent" if silent else "running",
        finished=len(finished),
        total=_total(asked, inside(asked, "config"), caches, asked.get("cache_key")),
        running=running,
        failed=failed,
        ua=None,
        wa=None,
        ccc=None,
        last=last,
    )


def _finished(directory: Path, result: Mapping[str, Any], last: float | None) -> RunStatus:
    failures = [each for each in listed(result, "failed_runs") if isinstance(each, dict)]
    count = len(listed(result, "runs"))
    return RunStatus(
        directory=directory,
        name=_name(directory, inside(result, "config", "fusion"), result.get("branches")),
        state="done",
        finished=count,
        total=count + len(failures),
        running=(),
        failed=tuple(_failed_run(each) for each in failures),
        ua=number(inside(result, "summary", "all", "ua", "mean_of_folds")),
        wa=number(inside(result, "summary", "all", "wa", "mean_of_folds")),
        ccc=number(inside(result, "summary", "all", "ccc", "mean_of_folds")),
        last=last,
    )


def _running(directory: Path) -> tuple[TrainingRun, ...]:
    found = []
    for stem in entries(directory / RUNNING, ".jsonl"):
        path = directory / RUNNING / f"{stem}.jsonl"
        run = run_of_stem(stem)
        content = read_bytes(path)
        if content is None or run is None:
            continue
        epoch = _last_epoch(content)
        found.append(
            TrainingRun(
                fold=run[0],
                seed=run[1],
                epoch=int(number(epoch.get("epoch")) or 0),
                validation_ua=number(epoch.get("validation_ua")),
                validation_ccc=number(epoch.get("validation_ccc")),
                last=newest([path]),
            )
        )
    return tuple(sorted(found, key=lambda run: (-(run.last or 0.0), run.fold, run.seed)))


def _last_epoch(content: bytes) -> Mapping[str, Any]:
    """The last whole line: the one after it may be half written."""
    for line in reversed(content.split(b"\n")):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            return values
    return {}


def _failed(directory: Path) -> tuple[FailedRun, ...]:
    names = entries(directory / FAILED, ".json")
    return tuple(_failed_run(values) for name in names if (values := read_object(directory / FAILED / f"{name}.json")))


def _failed_run(values: Mapping[str, Any]) -> FailedRun:
    return FailedRun(fold=str(values.get("fold")), seed=int(number(values.get("seed")) or 0), reason=str(values.get("reason")))


def _name(directory: Path, fusion: object, branches: object) -> str:
    parts = [str(fusion or ""), "+".join(map(str, branches)) if isinstance(branches, list) else ""]
    return " ".join(filter(None, parts)) or directory.name


def _total(asked: object, config: object, caches: Path, key: object) -> int | None:
    seeds, folds = inside(config, "seeds"), inside(config, "folds")
    if not isinstance(seeds, list):
        return None
    for known in (folds, inside(asked, "partition", "folds")):
        if isinstance(known, list):
            return len(known) * len(seeds)
    count = _sessions(caches, str(key)[:12])
    return None if count is None else count * len(seeds)


def _sessions(caches: Path, key: str) -> int | None:
    """Sessions of a cache, or of the first of a set of caches, from the names of its shards."""
    for folder in (caches, *caches.glob(f"*/{key}")):
        if folder.name == key:
            together = inside(read_object(folder / SET_FILE), "caches")
            if isinstance(together, dict) and together:
                folder = folder.parent / str(next(iter(together.values())))[:12]
            names = planned_shards(folder) | entries(folder / "shards", ".json").keys()
            return len({name.rpartition("-")[0] for name in names}) or None
    return None
