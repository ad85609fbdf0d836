"""Train one head over all folds and seeds, resumably, and write its result."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.feature_source import check_held
from mer.heads.features import Features
from mer.heads.progress import Progress, ignore
from mer.heads.run_directory import FinishedRun, RunDirectory, versions
from mer.heads.run_queue import RunQueue, choose_device
from mer.heads.selection import Selection, select
from mer.protocol import (
    ClassMap,
    Fold,
    RunPredictions,
    Validation,
    confusion,
    make_fold,
    session_names,
    summarise,
    unweighted_accuracy,
    weighted_accuracy,
)

RESULT_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished result."""

    directory: Path
    """The run directory."""
    values: Mapping[str, Any]
    """What `result.json` holds."""
    reused: bool
    """True when it was already there and nothing was trained."""


def train_head(
    cache: Features,
    config: HeadConfig,
    runs: Path,
    *,
    progress: Progress | None = None,
    command: str | None = None,
) -> Result:
    """Train every (fold, seed) of `config` and write `runs/<corpus>-<fusion>-<granularities>-<fingerprint>/`.

    A run that is finished stays finished: after an interruption the same call does the rest and gives what an
    uninterrupted one gives. A result that is already there is returned, never trained again.

    Args:
        cache: the feature cache.
        config: the head, its features and its protocol.
        runs: folder of run directories.
        progress: called with what happens.
        command: the command line, for `provenance.json`.

    Raises:
        HeadError: features or folds that the cache does not hold, a run directory of another config or in
            use, or no run that ended with a number.
        ProtocolError: data that cannot be split as asked.
    """
    selection, classes = select(cache, config.classes)
    check_held(cache, config.branches)
    plan = _plan(selection, classes, config)
    device = choose_device(config.device)
    identity = {
        "format": RESULT_FORMAT,
        "config": config.identity(),
        "cache_key": cache.key,
        "data": selection.fingerprint(),
    }
    directory = RunDirectory(runs / _name(cache, config, identity), identity)
    with directory.locked():
        existing = directory.result()
        if existing is not None:
            directory.tidy()
            return Result(directory=directory.path, values=existing, reused=True)
        queue = RunQueue(cache, config, selection, classes, plan, directory, device, progress or ignore)
        directory.append_provenance({"versions": versions(), "command": command, "device": str(device), "started": time.time()})
        finished, failed = queue.train()
        if not finished:
            raise HeadError(f"no run ended with a number; first: {failed[0]['reason']}")
        document = _result(cache, config, selection, classes, finished, failed, str(device))
        values = directory.finish(finished, classes.classes, document)
    return Result(directory=directory.path, values=values, reused=False)


def _plan(selection: Selection, classes: ClassMap, config: HeadConfig) -> list[tuple[Fold, int]]:
    """Every (fold, seed) in the order in which they are trained and reported."""
    available = session_names(selection.sessions)
    unknown = [name for name in config.folds or () if name not in available]
    if unknown:
        raise HeadError(
            f"the cache has no session {', '.join(unknown)} to test on, only {', '.join(available)}: "
            "extract it first (`mer extract --session ...`) or leave it out of --folds"
        )
    return [
        (
            make_fold(
                sessions=selection.sessions,
                speakers=selection.speakers,
                targets=selection.targets,
                classes=classes.classes,
                test_session=name,
                seed=seed,
                validation=cast(Validation, config.validation),
                share=config.validation_share,
            ),
            seed,
        )
        for name in (config.folds or available)
        for seed in config.seeds
    ]


def _name(cache: Features, config: HeadConfig, identity: Mapping[str, Any]) -> str:
    corpus = cache.spec["corpus"]["name"]
    text = json.dumps(identity, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{corpus}-{config.fusion}-{'+'.join(config.branches)}-{digest}"


def _result(
    cache: Features,
    config: HeadConfig,
    selection: Selection,
    classes: ClassMap,
    finished: Sequence[FinishedRun],
    failed: Sequence[Mapping[str, Any]],
    device: str,
) -> dict[str, Any]:
    """The content of `result.json`."""
    style = dict(zip(selection.ids, selection.styles, strict=True))
    predictions = [
        RunPredictions(
            fold=run.fold,
            seed=run.seed,
            truth=np.array(run.truth, dtype=np.int64),
            prediction=np.array(run.predictions, dtype=np.int64),
            styles=tuple(style[name] for name in run.ids),
        )
        for run in finished
    ]
    return {
        "format": RESULT_FORMAT,
        "corpus": cache.spec["corpus"]["name"],
        "synthetic": cache.synthetic,
        "cache_key": cache.key,
        "config": config.as_dict(),
        "branches": list(config.branches),
        "utterances": {
            "used": len(selection.ids),
            "other_labels": sum(selection.left_out.values()),
            "by_other_label": selection.left_out,
            "failed_extraction": len(cache.failed),
        },
        "summary": summarise(predictions, classes.classes).as_dict(),
        "layers": {name: list(cache.layers(name)) for name in config.branches},
        "layer_shares": {
            name: np.mean([run.layer_shares[name] for run in finished], axis=0).tolist() for name in config.branches
        },
        "runs": [_run_row(run, len(classes.classes)) for run in finished],
        "failed_runs": list(failed),
        "device": device,
        "seconds": sum(run.seconds for run in finished),
    }


def _run_row(run: FinishedRun, classes: int) -> dict[str, Any]:
    matrix = confusion(np.array(run.truth), np.array(run.predictions), classes)
    best = run.epochs[run.best_epoch - 1]
    return {
        "fold": run.fold,
        "seed": run.seed,
        "epochs": len(run.epochs),
        "best_epoch": run.best_epoch,
        "validation_ua": best.validation_ua,
        "ua": unweighted_accuracy(matrix),
        "wa": weighted_accuracy(matrix),
        "layer_shares": run.layer_shares,
        "seconds": run.seconds,
    }
