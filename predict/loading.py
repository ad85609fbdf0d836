"""Making a saved run ready to answer, from a folder or from the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mer.predict.errors import PredictError
from mer.predict.finetuned_engine import FinetunedEngine
from mer.predict.head_engine import HeadEngine
from mer.predict.hub_download import find_saved, told_of
from mer.predict.on_the_fly import Aligner
from mer.predict.predictor import MAX_SECONDS, TURN, Engine, Predictor
from mer.predict.saved_encoders import EncoderChoice, each_of
from mer.predict.saved_head import Run, SavedHead
from mer.predict.saved_run import SavedModels, check_saved, choose_runs, read_saved
from mer.results.names import run_stem


def load(
    source: Path | str,
    *,
    revision: str | None = None,
    folds: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    speech_model: str | Path | Sequence[str | Path] | None = None,
    text_model: str | Path | Sequence[str | Path] | None = None,
    device: str = "auto",
    max_seconds: float = MAX_SECONDS,
    aligner: Aligner | None = None,
    calibrated: bool = False,
) -> Predictor:
    """Make a saved run ready to answer for new recordings.

    Args:
        source: a run directory of `mer train-head` or `mer finetune`, what `mer export` made of one, or `OWNER/NAME` of an
            export on the Hugging Face hub, which is downloaded where that is no path here and no folder OWNER is.
        revision: branch, tag or commit on the hub; None takes its main branch as it is now.
        folds: answer by the runs that left these sessions out; None takes all, and averages their probabilities.
        seeds: likewise.
        labels: those that are expected, in any order; a run that answers with others is refused.
        speech_model: the speech encoder's folder, where the hub does not have what the run names; of several each `NAME=DIR`.
        text_model: likewise.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        max_seconds: longer audio is refused.
        aligner: times the phones, syllables and words of recordings that bring no alignment; None leaves them one segment.
        calibrated: divide each run's logits by the temperature that its validation part gave.

    Raises:
        PredictError: a folder that holds no such run, what the hub does not give, encoders other than the run's, or labels
            other than expected.
        ResultError: a file of the run that is damaged, foreign or of another version.
        EncoderError: an encoder that is not to be had.
    """
    found = find_saved(source, revision, folds=folds, seeds=seeds)
    choice = EncoderChoice(speech_model=each_of(speech_model), text_model=each_of(text_model), device=device)
    with told_of(found):
        saved, document = read_saved(found.folder)
        runs = choose_runs(saved.runs, folds, seeds, saved.folder)
        if labels is not None and set(labels) != set(saved.classes):
            raise PredictError(
                f"{source} answers with {', '.join(saved.classes)}, and {', '.join(labels)} were asked for; take a run that was "
                "trained on these, or ask for what it has"
            )
        temperatures = temperatures_of(document, runs, found.folder) if calibrated else None
        engine, remarks = _checked_engine(saved, runs, choice)
    return Predictor(
        engine,
        saved.classes,
        runs,
        source=found,
        max_seconds=max_seconds,
        aligner=aligner,
        remarks=remarks,
        dimensions=saved.dimensions if isinstance(saved, SavedHead) else (),
        temperatures=temperatures,
    )


from_pretrained = load
"""`load`, by the name that Hugging Face's libraries have for it."""


def temperatures_of(document: Mapping[str, Any], runs: Sequence[Run], folder: Path) -> tuple[float, ...]:
    """The temperature of each run, as its result has it.

    Raises:
        PredictError: a run without one.
    """
    known = {(str(each["fold"]), int(each["seed"])): each.get("temperature") for each in document.get("runs", ())}
    if missing := [run_stem(*run) for run in runs if not known.get(run)]:
        raise PredictError(
            f"{folder}: {len(missing)} of {len(runs)} runs have no temperature, first {missing[0]} (it predicts ratings, nobody "
            "was held out for validation, or an earlier mer trained it); leave --calibrated out, or train it again"
        )
    return tuple(float(known[run]) for run in runs)


def _checked_engine(saved: SavedHead | SavedModels, runs: Sequence[Run], choice: EncoderChoice) -> tuple[Engine, tuple[str, ...]]:
    """What answers, and what of its files could not be checked."""
    with ThreadPoolExecutor(1) as beside:  # hashes a GB a second, while the encoders are read
        checking = beside.submit(check_saved, saved, runs)
        try:
            with TURN:
                engine = _engine(saved, runs, choice)
        finally:  # a damaged file is named as such, whatever it did to the engine
            remarks = checking.result()
    return engine, remarks


def _engine(saved: SavedHead | SavedModels, runs: Sequence[Run], choice: EncoderChoice) -> Engine:
    if isinstance(saved, SavedHead):
        return HeadEngine(saved, runs, choice)
    return FinetunedEngine([path for run, path in saved.models if run in runs], choice.device)
