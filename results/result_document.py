"""The content of `result.json`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from mer.protocol import ClassMap, RunPredictions, confusion, summarise
from mer.protocol.concordance import RatedRun
from mer.protocol.metrics import measured, rated
from mer.protocol.rating_summary import summarise_ratings
from mer.protocol.summary import Summary
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
    votes: Float64[np.ndarray, "utterances classes"] | None = None,
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
        votes: shares of the annotators' votes of each utterance of the selection, NaN where none counts; None: nobody knows.
    """
    style, shares = _by_utterance(selection, votes)
    if finished[0].ratings:
        summary, scores = _of_ratings(finished, style, classes.classes)
    else:
        summary, scores = _of_classes(finished, style, shares, classes.classes)
    return {
        "format": RESULT_FORMAT,
        "corpus": corpus,
        "synthetic": synthetic,
        "cache_key": None,
        "config": dict(config),
        "branches": list(branches),
        "utterances": {**utterance_counts(selection), "failed_extraction": 0},
        "summary": summary.as_dict(),
        "layers": {},
        "layer_shares": {},
        "runs": [_run_row(run, each) for run, each in zip(finished, scores, strict=True)],
        "failed_runs": list(failed),
        "device": device,
        "seconds": sum(run.seconds for run in finished),
    }


def run_row(
    run: FinishedRun,
    selection: Selected,
    classes: ClassMap,
    votes: Float64[np.ndarray, "utterances classes"] | None = None,
) -> dict[str, Any]:
    """What a result will say of one run, as soon as that has ended; arguments as for `result_values`."""
    style, shares = _by_utterance(selection, votes)
    if run.ratings:
        return _run_row(run, rated(_rated_run(run, style, classes.classes)))
    return _run_row(run, _measures(_predictions_of(run, style, shares), classes.classes))


def _by_utterance(
    selection: Selected, votes: Float64[np.ndarray, "utterances classes"] | None
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The style of each utterance, and the shares of its votes, where anybody knows them."""
    style = dict(zip(selection.ids, selection.styles, strict=True))
    return style, {} if votes is None else dict(zip(selection.ids, votes, strict=True))


def _of_classes(
    finished: Sequence[FinishedRun], style: Mapping[str, str], shares: Mapping[str, np.ndarray], classes: tuple[str, ...]
) -> tuple[Summary, list[dict[str, float]]]:
    """All runs together, and each measure of each run."""
    predictions = [_predictions_of(run, style, shares) for run in finished]
    return summarise(predictions, classes), [_measures(each, classes) for each in predictions]


def _predictions_of(run: FinishedRun, style: Mapping[str, str], shares: Mapping[str, np.ndarray]) -> RunPredictions:
    return RunPredictions(
        fold=run.fold,
        seed=run.seed,
        truth=np.array(run.truth, dtype=np.int64),
        prediction=np.array(run.predictions, dtype=np.int64),
        styles=tuple(style[name] for name in run.ids),
        probabilities=np.array(run.probabilities, dtype=np.float64),
        votes=np.array([shares[name] for name in run.ids], dtype=np.float64) if shares else None,
        scaled=run.scaled,
    )


def _measures(predictions: RunPredictions, classes: tuple[str, ...]) -> dict[str, float]:
    return measured(predictions, confusion(predictions.truth, predictions.prediction, len(classes)))


def _of_ratings(
    finished: Sequence[FinishedRun], style: Mapping[str, str], dimensions: tuple[str, ...]
) -> tuple[Summary, list[dict[str, float]]]:
    """The same of runs that predict ratings."""
    runs = [_rated_run(run, style, dimensions) for run in finished]
    return summarise_ratings(runs), [rated(run) for run in runs]


def _rated_run(run: FinishedRun, style: Mapping[str, str], dimensions: tuple[str, ...]) -> RatedRun:
    return RatedRun(
        fold=run.fold,
        seed=run.seed,
        dimensions=dimensions,
        truth=np.array(run.ratings, dtype=np.float64),
        said=np.array(run.logits, dtype=np.float64),
        styles=tuple(style[name] for name in run.ids),
    )


def _run_row(run: FinishedRun, scores: Mapping[str, float]) -> dict[str, Any]:
    best: Any = run.epochs[run.best_epoch - 1] if run.epochs else None
    measure = "validation_ccc" if run.ratings else "validation_ua"
    return {
        "fold": run.fold,
        "seed": run.seed,
        "epochs": len(run.epochs),
        "best_epoch": run.best_epoch,
        measure: None if best is None else getattr(best, measure),
        **({} if run.ratings else {"temperature": run.temperature}),
        **scores,
        "layer_shares": run.layer_shares,
        "seconds": run.seconds,
    }
