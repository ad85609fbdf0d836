"""The content of `result.json`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mer.protocol import ClassMap, RunPredictions, confusion, summarise
from mer.protocol.answers import Answers
from mer.protocol.metrics import measured
from mer.results.finished_run import FinishedRun
from mer.results.names import RESULT_FORMAT


@runtime_checkable
class Selected(Protocol):
    """The utterances that take part in a training; `mer.heads.training.selection.Selection` has it."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Their ids."""
        ...

    @property
    def styles(self) -> tuple[str, ...]:
        """Improvised or scripted, of each."""
        ...

    @property
    def left_out(self) -> dict[str, int]:
        """How many of each other label do not take part."""
        ...


def utterance_counts(selection: Selected) -> dict[str, Any]:
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
    selection: Selected,
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
            styles=tuple(style[name] for name in run.ids),
            truth=np.array(run.truth, dtype=np.int64),
            prediction=np.array(run.predictions, dtype=np.int64),
            probabilities=np.array(run.probabilities, dtype=np.float64),
            scaled=run.scaled,
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
        "runs": [_run_row(*each, len(classes.classes)) for each in zip(finished, predictions, strict=True)],
        "failed_runs": list(failed),
        "device": device,
        "seconds": sum(run.seconds for run in finished),
    }


def _run_row(run: FinishedRun, answers: Answers, classes: int) -> dict[str, Any]:
    matrix = confusion(answers.truth, answers.prediction, classes)
    best = run.epochs[run.best_epoch - 1] if run.epochs else None
    return {
        "fold": run.fold,
        "seed": run.seed,
        "epochs": len(run.epochs),
        "best_epoch": run.best_epoch,
        "validation_ua": None if best is None else best.validation_ua,
        "temperature": run.temperature,
        **measured(answers, matrix),
        "layer_shares": run.layer_shares,
        "seconds": run.seconds,
    }
