"""Whether a run directory, a grid's file or an export is whole, every byte that a later number depends on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, SEAL, check_files
from mer.results.finished_run import read_finished
from mer.results.names import CONFIG, FINISHED, GRID, LOGITS, METRICS, PREDICTIONS, RESULT, WEIGHTS
from mer.results.run_files import CURE, read_config, read_export, read_grid, read_predictions, read_result, read_starts

CARD = "README.md"
"""The model card of an export: for people to read, and to write on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """What was looked at in one place, and what is wrong there."""

    path: str
    """The folder."""
    kind: str
    """`result`, `unfinished result`, `grid`, `export` or `cache`."""
    files: int
    """Files whose every byte was compared with what was written."""
    bytes: int
    """Their size."""
    unchecked: tuple[str, ...]
    """Files that are there and have no hash: written by an earlier version."""
    problems: tuple[str, ...]
    """What is damaged, each with what helps; empty when all is well."""


def check_run(folder: Path) -> Whole:
    """Compare every file of a run directory with what its `result.json` says, or its finished runs if there is none yet."""
    if (folder / RESULT).exists():
        weights = [each.relative_to(folder).as_posix() for each in _files(folder / WEIGHTS)]
        return _checked(folder, "result", RESULT, lambda: read_result(folder), [CONFIG, METRICS, PREDICTIONS, LOGITS, *weights])
    problems = _problems_of(lambda: read_config(folder), lambda: read_starts(folder))
    found: dict[str, str] = {}
    again = "that run is trained again when the same command is given"
    for record in sorted((folder / FINISHED).glob("*.json")):
        run = read_finished(record, _any_epoch)
        if run is None:
            problems.append(f"{record}: damaged; {again}")
            continue
        found |= run.files_sha256
        for name in run.files_sha256:
            problems += _problems_of(partial(check_files, folder, run.files_sha256, [name], again))
    return _whole(folder, "unfinished result", found, (), problems)


def check_export(folder: Path) -> Whole:
    """Compare every file of an exported folder with what its `config.json` says."""
    names = [each.relative_to(folder).as_posix() for each in _files(folder)]
    return _checked(folder, "export", CONFIG, lambda: read_export(folder), [name for name in names if name not in (CARD, CONFIG)])


def check_grid(folder: Path) -> Whole:
    """Compare the file of a grid with its hash of itself; the runs of its rows are run directories of their own."""
    problems = _problems_of(lambda: read_grid(folder))
    sealed = not problems and SEAL in read_grid(folder)
    return _whole(folder, "grid", [GRID] if sealed else (), () if sealed else [GRID], problems)


def _files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if each.is_file() and not each.name.startswith("."))


def _checked(folder: Path, kind: str, last: str, read: Any, needed: Sequence[str]) -> Whole:
    """What the file that was written last says of the others, and what it says nothing of."""
    try:
        document: Mapping[str, Any] = read()
    except (ResultError, OSError) as problem:
        return _whole(folder, kind, (), (), [str(problem)])
    hashes: Mapping[str, str] = document.get(FILES, {})
    problems: list[str] = []
    unchecked = [name for name in needed if name not in hashes and (folder / name).exists()]
    for name in hashes:
        problems += _problems_of(partial(check_files, folder, hashes, [name], CURE))
    # What has no hash is at least read.
    readers = {PREDICTIONS: lambda: read_predictions(folder / PREDICTIONS), CONFIG: lambda: read_config(folder)}
    problems += _problems_of(*(readers[name] for name in unchecked if name in readers), lambda: read_starts(folder))
    return _whole(folder, kind, [*hashes, *([last] if SEAL in document else [])], unchecked, problems)


def _whole(folder: Path, kind: str, names: Iterable[str], unchecked: Sequence[str], problems: Sequence[str]) -> Whole:
    there = [each for each in (folder / name for name in names) if each.is_file()]
    size = sum(each.stat().st_size for each in there)
    return Whole(path=str(folder), kind=kind, files=len(there), bytes=size, unchecked=tuple(unchecked), problems=tuple(problems))


def _problems_of(*reads: Any) -> list[str]:
    problems = []
    for read in reads:
        try:
            read()
        except (ResultError, OSError) as problem:
            problems.append(str(problem))
    return problems


@dataclass(frozen=True)
class _AnyEpoch:
    """An epoch of any kind of training: only that it was read counts here."""

    values: Mapping[str, Any]

    @property
    def validation_ua(self) -> float | None:
        """Not looked at."""
        return None


def _any_epoch(**values: Any) -> _AnyEpoch:
    return _AnyEpoch(values)
