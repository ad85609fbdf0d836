"""The epochs of a run directory, wherever they stand while it trains and after."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.files.regular_file import read_file
from mer.results.names import FAILED, FINISHED, METRICS, RESULT, RUNNING, Key

EpochLine = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MetricsLog:
    """The epochs of all (fold, seed)."""

    epochs: tuple[EpochLine, ...]
    """One mapping per epoch with its fold and seed; of one (fold, seed) in order, and what moved last is last."""
    kept: Mapping[Key, int]
    """Epoch whose weights were kept, of runs that have ended without their result being written yet."""
    failed: Mapping[Key, str]
    """Why a run ended without a number, the same."""
    notes: tuple[str, ...]
    """What was left out, and of which file."""

    @property
    def pairs(self) -> str:
        """What the auxiliary tasks of fine-tuning paired, mean over epochs; empty where nothing was paired."""
        told = {
            "same_class_share": "of the pairs of task 1 were of one class",
            "unchanged_share": "unchanged",
            "lonely_share": "of the utterances had no partner for task 2",
        }
        found = []
        for name, what in told.items():
            shares = [epoch[name] for epoch in self.epochs if epoch.get(name) is not None]
            if shares:
                found.append(f"{100 * sum(shares) / len(shares):.1f} % {what}")
        return ", ".join(found)


def read_metrics(directory: Path) -> MetricsLog:
    """Read the epochs of all runs; a line that cannot be read is said and left out, never a reason to stop.

    Args:
        directory: of the run. With a result `metrics.jsonl` has every epoch; before that `finished/` has those of runs that
            have ended, and `running/` has a file per run that trains, whose torn last line is one that is being written.
    """
    if (directory / RESULT).exists():
        return _of_a_result(directory / METRICS)
    # First what moves: a run that ends while this reads is then in one of the two at least.
    running = [(file, *_read_lines(image)) for file, image in _by_time(directory / RUNNING, "*.jsonl")]
    found: dict[Key, dict[int, EpochLine]] = {}
    kept: dict[Key, int] = {}
    notes = []
    for file, image in _by_time(directory / FINISHED, "*.json"):
        values = _json(image)
        if values is None or not {"fold", "seed", "epochs", "best_epoch"} <= values.keys():
            notes.append(f"finished/{file.name}: is damaged and was left out")
            continue
        key = str(values["fold"]), int(values["seed"])
        kept[key] = int(values["best_epoch"])
        found[key] = {each["epoch"]: {"fold": key[0], "seed": key[1], **each} for each in values["epochs"]}
    for file, lines, damaged, _ in running:
        if damaged:
            notes.append(_damage(f"running/{file.name}", damaged))
        for line in lines:
            key = line["fold"], line["seed"]
            if key not in kept:
                found.setdefault(key, {})[line["epoch"]] = line
    ended = [_json(image) for _, image in _by_time(directory / FAILED, "*.json")]
    failed = {(str(each["fold"]), int(each["seed"])): str(each["reason"]) for each in ended if each is not None}
    epochs = tuple(of_run[number] for of_run in found.values() for number in sorted(of_run))
    return MetricsLog(epochs=epochs, kept=kept, failed=failed, notes=tuple(notes))


def _of_a_result(file: Path) -> MetricsLog:
    lines, damaged, torn = _read_lines(read_file(file)) if file.exists() else ([], [], False)
    notes = [f"{file.name}: the last line is torn and was left out"] if torn else []
    notes += [_damage(file.name, damaged)] if damaged else []
    return MetricsLog(epochs=tuple(lines), kept={}, failed={}, notes=tuple(notes))


def _by_time(folder: Path, pattern: str) -> Iterable[tuple[Path, bytes]]:
    """Files in the order in which they were last written; one that goes away in the meantime is left out."""
    found = []
    for file in sorted(folder.glob(pattern)):
        try:
            found.append((file.stat().st_mtime_ns, file, read_file(file)))
        except FileNotFoundError:
            continue  # its run has ended, or the result is written
    return [(file, image) for _, file, image in sorted(found)]


def _read_lines(image: bytes) -> tuple[list[EpochLine], list[int], bool]:
    """The epochs, the numbers of lines that are none (counted from 1), and whether the last line is torn."""
    lines = image.split(b"\n")
    epochs, damaged = [], []
    for number, line in enumerate(lines, start=1):
        epoch = _epoch(line)
        if epoch is not None:
            epochs.append(epoch)
        elif line.strip():
            damaged.append(number)
    torn = len(lines) in damaged
    return epochs, damaged[:-1] if torn else damaged, torn


def _epoch(line: bytes) -> EpochLine | None:
    values = _json(line)
    if values is None or "fold" not in values or not all(type(values.get(name)) is int for name in ("seed", "epoch")):
        return None
    return {**values, "fold": str(values["fold"])}


def _json(image: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(image)
    except ValueError:  # UnicodeDecodeError is one, too
        return None
    return values if isinstance(values, dict) else None


def _damage(name: str, lines: list[int]) -> str:
    if len(lines) == 1:
        return f"{name}: 1 damaged line was left out, line {lines[0]}"
    return f"{name}: {len(lines)} damaged lines were left out, first {lines[0]}"
