"""The content of `result.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mer.heads.config import HeadConfig
from mer.heads.features import Features
from mer.heads.run_directory import FinishedRun
from mer.heads.selection import Selection
from mer.protocol import METRICS, ClassMap, RunPredictions, confusion, summarise

RESULT_FORMAT = 1


def result_document(
    cache: Features,
    config: HeadConfig,
    branches: Sequence[str],
    selection: Selection,
    classes: ClassMap,
    finished: Sequence[FinishedRun],
    failed: Sequence[Mapping[str, Any]],
    device: str,
) -> dict[str, Any]:
    """Everything that tables and figures need of a result, as JSON knows it.

    Args:
        cache: the feature cache.
        config: the head.
        branches: granularities of the head, text included.
        selection: utterances that took part.
        classes: their classes.
        finished: runs that ended with a number.
        failed: fold, seed and reason of the others.
        device: where the runs were trained.
    """
    return result_values(
        corpus=cache.spec["corpus"]["name"],
        synthetic=cache.synthetic,
        config=config.as_dict(),
        branches=branches,
        selection=selection,
        classes=classes,
        finished=finished,
        failed=failed,
        device=device,
    ) | {
        "cache_key": cache.key,
        "features": dict(cache.spec),
        "utterances": {**utterance_counts(selection), "failed_extraction": len(cache.failed)},
        "layers": {name: list(config.layers or cache.layers(name)) for name in branches},
        "layer_shares": {
            name: np.mean([run.layer_shares[name] for run in finished], axis=0).tolist()
            for name in branches
            if all(name in run.layer_shares for run in finished)
        },
    }


def utterance_counts(selection: Selection) -> dict[str, Any]:
    """Who takes part and who does not."""
    return {
        "used": len(selection.ids),
        "other_labels": sum(selection.left_out.values()),
        "by_other_label": selection.left_out,
    }


def result_values(
    *,
    corpus: str,
    synthetic: bool,
    config: Mapping[str, Any],
    branches: Sequence[str],
    selection: Selection,
    classes: ClassMap,
    finished: Sequence[FinishedRun],
    failed: Sequence[Mapping[str, Any]],
    device: str,
) -> dict[str, Any]:
    """What every result holds, whether a head was trained or whole encoders.

    Args:
        corpus: name of the corpus.
        synthetic: whether its speech is synthetic.
        config: the config as JSON knows it.
        branches: granularities of a head, or the encoders that were trained.
        selection: utterances that took part.
        classes: their classes.
        finished: runs that ended with a number.
        failed: fold, seed and reason of the others.
        device: where the runs were trained.
    """
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
        "corpus": corpus,
        "synthetic": synthetic,
        "cache_key": None,
        "config": dict(config),
        "branches": list(branches),
        "utterances": {**utterance_counts(selection), "failed_extraction": 0},
        "summary": summarise(predictions, classes.classes).as_dict(),
        "layers": {},
        "layer_shares": {},
        "runs": [_run_row(run, len(classes.classes)) for run in finished],
        "failed_runs": list(failed),
        "device": device,
        "seconds": sum(run.seconds for run in finished),
    }


def _run_row(run: FinishedRun, classes: int) -> dict[str, Any]:
    matrix = confusion(np.array(run.truth), np.array(run.predictions), classes)
    best = run.epochs[run.best_epoch - 1] if run.epochs else None
    return {
        "fold": run.fold,
        "seed": run.seed,
        "epochs": len(run.epochs),
        "best_epoch": run.best_epoch,
        "validation_ua": None if best is None else best.validation_ua,
        **{name: metric.score(matrix) for name, metric in METRICS.items()},
        "layer_shares": run.layer_shares,
        "seconds": run.seconds,
    }
