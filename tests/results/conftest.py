"""Run directories of results that nobody trained, through the writer that every result goes through."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.protocol import ClassMap
from mer.results.finished_run import FinishedRun
from mer.results.names import Key
from mer.results.result_document import result_values
from mer.results.run_directory import RunDirectory

CLASSES = ("angry", "happy", "sad")
KEYS = (("1", 0), ("1", 1), ("2", 0), ("2", 1))


@dataclass(frozen=True)
class Chosen:
    ids: tuple[str, ...]
    styles: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)


def truth_of(name: str) -> int:
    return int(name.rpartition("-")[2]) % len(CLASSES)


def drawn_run(key: Key, random: np.random.Generator, skill: float, *, size: int = 20, held_out: int = 15) -> FinishedRun:
    """Logits that know the truth as well as `skill` says."""

    def said(names: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        rows = random.normal(size=(len(names), len(CLASSES))) + skill * np.eye(len(CLASSES))[[truth_of(each) for each in names]]
        return tuple(map(tuple, rows.tolist()))

    ids = tuple(f"{key[0]}-{number}" for number in range(size))
    other = tuple(f"held-out-of-{key[0]}-{number}" for number in range(held_out))
    return FinishedRun(
        fold=key[0],
        seed=key[1],
        best_epoch=0,
        epochs=(),
        ids=ids,
        truth=tuple(map(truth_of, ids)),
        logits=said(ids),
        validation_ids=other,
        validation_truth=tuple(map(truth_of, other)),
        validation_logits=said(other),
        layer_shares={},
        seconds=1.0,
    )


def no_epoch(**values: Any) -> Any:
    raise AssertionError(values)


def write_result(
    folder: Path,
    runs: Sequence[FinishedRun],
    *,
    classes: Sequence[str] = CLASSES,
    corpus: str = "tiny",
    failed: Sequence[Mapping[str, Any]] = (),
    **config: Any,
) -> Path:
    ids = tuple(dict.fromkeys(name for run in runs for name in run.ids))
    document = result_values(
        corpus=corpus,
        synthetic=False,
        config={"fusion": "late", "classes": "as-is", **config},
        branches=["F", "T"],
        selection=Chosen(ids, ("",) * len(ids)),
        classes=ClassMap(name="as-is", classes=tuple(classes), mapping={}),
        finished=runs,
        failed=failed,
        device="cpu",
    )
    RunDirectory(folder, {"config": {"fusion": "late", "of": folder.name}}, epoch=no_epoch).finish(runs, classes, document)
    return folder


@pytest.fixture
def make_result(tmp_path: Path) -> Callable[..., Path]:
    """Writes `tmp_path/runs/NAME`: name, skill, what is special of its runs (`change`), and the rest of `write_result`."""

    def make(
        name: str,
        skill: float = 1.0,
        *,
        seed: int | None = None,
        keys: Sequence[Key] = KEYS,
        change: Callable[[FinishedRun], FinishedRun] = lambda run: run,
        **about: Any,
    ) -> Path:
        random = np.random.default_rng([ord(letter) for letter in name] if seed is None else seed)
        runs = [change(drawn_run(key, random, skill)) for key in keys]
        return write_result(tmp_path / "runs" / name, runs, **about)

    return make
