"""`mer finetune`."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mer.commands.command_line import Given, options_from, refuse_ignored
from mer.commands.console import clear_errors, even_untracked, print_result, progress_bar, say
from mer.commands.corpus_choice import HowTablesAreRead, classes_of, find_corpus, revisions_by_encoder, with_other_texts
from mer.commands.options import JsonOption, QuietOption, RevisionOption
from mer.finetune.config import KEPT, FinetuneConfig
from mer.settings.option import option
from mer.settings.shared_options import corpus_option, runs_option, session_option, texts_option
from mer.tracking.trackers import check_tracking

if TYPE_CHECKING:
    from mer.corpus.given_texts import GivenTexts
    from mer.finetune.events import StepDone
    from mer.heads import Result


@dataclass(frozen=True, kw_only=True)
class WhereModelsGo(HowTablesAreRead):
    """What a model is trained on, and what of it is kept."""

    corpus: Path | None = corpus_option()
    runs: Path = runs_option()
    session: tuple[str, ...] | None = session_option()
    texts: Path | None = texts_option()
    resume: bool = option(True, "Go on from an interrupted run's checkpoint, or begin it anew.", panel=KEPT)
    weights: bool = option(True, "Keep every run's weights (base size: 0.8 GB).", panel=KEPT)


@options_from(FinetuneConfig, defaults={"classes": None})
def finetune(
    *,
    where: WhereModelsGo,
    revision: RevisionOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    given: Given,
) -> None:
    """Train wav2vec 2.0 and BERT end to end with cross-attention and two auxiliary tasks (Sun 2023), one session left out.

    Runs on one CPU or GPU, and on several under `accelerate launch` or `torchrun`. Stop it whenever you like
    (Ctrl-C): the same command goes on from the last checkpoint. The test session never chooses an epoch.
    """
    with clear_errors(process=process_number()):
        for encoder, name in revisions_by_encoder(revision or []).items():
            given[f"{encoder}_revision"] = name
        # The classes may follow from the corpus; what else cannot be trained is refused before it is looked at.
        config = FinetuneConfig(**{**given, "classes": given["classes"] or "4"})
        refuse_ignored(given, FinetuneConfig, config.used(), f"{config.fusion} with modality {config.modality}")
        check_tracking(config.track)
        config = replace(config, classes=given["classes"] or classes_of(where.corpus))
        from mer.finetune.run import Storage

        found = find_corpus(where.corpus, where.session, config.classes, 0, where)
        texts = None
        if where.texts is not None:
            if config.modality == "speech":
                raise typer.BadParameter("modality speech reads no transcript; leave it out", param_hint="--texts")
            found, texts = with_other_texts(found, where.texts, quiet or process_number() > 0)
        storage = Storage(runs=where.runs, weights=where.weights, resume=where.resume)
        result, untracked = even_untracked(lambda: finetune_with_bar(found, config, storage, quiet, texts=texts))
    if process_number():
        return
    print_finetuned(result, as_json)
    if result.values["failed_runs"] or result.values["utterances"]["left_out"] or untracked:
        raise typer.Exit(1)


def process_number() -> int:
    """Number of this process among those that a launcher started; 0 without one. Only process 0 says anything."""
    return int(os.environ.get("RANK", "0"))


def finetune_with_bar(corpus: Any, config: Any, storage: Any, quiet: bool, *, texts: "GivenTexts | None" = None) -> "Result":
    """Fine-tune one row under a progress bar."""
    from mer.finetune.meter import FinetuneMeter
    from mer.finetune.run import finetune as finetune_row

    silent = quiet or process_number() > 0
    meter = FinetuneMeter()
    with progress_bar("finetune", silent) as bar:
        bar.update(0, 0, "loading the encoders")
        view = FinetuneView("", silent)

        def show(event: Any) -> None:
            meter.take(event)
            view.take(event)
            bar.update(meter.done, meter.to_do, view.detail, view.below)

        result = finetune_row(corpus, config, storage, progress=show, command=" ".join(["mer", *sys.argv[1:]]), texts=texts)
    if result.reused:
        say(f"{result.directory}: already trained with these settings; this is its result", silent)
    return result


class FinetuneView:
    """What is said while rows are fine-tuned: the detail of the bar, the lines below it, and messages."""

    def __init__(self, row: str, quiet: bool) -> None:
        """Nothing has happened.

        Args:
            row: begins every message; empty for a single row.
            quiet: no messages.
        """
        self.row, self._quiet = row, quiet
        self.detail = ""
        """Beside the bar."""
        self.below: tuple[str, ...] = ()
        """Below the bar."""
        self._runs = self._over = 0

    def take(self, event: Any) -> None:
        """Learn from an event of fine-tuning; others are nothing to say."""
        from mer.finetune.events import CheckpointSkipped, FinetuningStarted, RunStarted, StepDone, TrackingFailed
        from mer.heads import RunDone

        match event:
            case FinetuningStarted():
                self._runs, self._over = event.runs, event.finished
                self._begin(event)
            case RunStarted():
                where = f"fold {event.fold} seed {event.seed}"
                self.below = (f"{where}: forward passes of {event.pass_seconds:.0f} s of audio",)
                if event.resumed:
                    epoch, steps = event.resumed
                    self._say(f"{where}: going on from its checkpoint, epoch {epoch}, {steps} of {event.steps} steps done")
            case StepDone():
                self.detail = f"{self._over}/{self._runs} runs"
                self.below = step_lines(event)
            case RunDone():
                self._over = event.over
                self.detail = f"{self._over}/{self._runs} runs"
                if event.failure:
                    self._say(f"a run failed: {event.failure}")
            case CheckpointSkipped():
                self._say(f"{event.path}: damaged, passed over ({event.reason})")
            case TrackingFailed():
                self._say(f"note: {event.tracker} failed ({event.reason}); training goes on, and the rest is sent at the end")
            case _:
                pass

    def _begin(self, event: Any) -> None:
        kept = f" ({event.finished} finished before)" if event.finished else ""
        places = event.device if event.processes == 1 else f"{event.processes} processes ({event.device})"
        audio = "" if event.seconds is None else f", {event.seconds / 3600:.1f} h of audio"
        cut = f", {event.cut:,} cut at --max-seconds" if event.cut else ""
        self._say(f"{event.runs} runs{kept} of {event.epochs} epochs on {places}; {event.utterances:,} utterances{audio}{cut}")
        for notice in event.notices:
            self._say(notice)
        for name, reason in event.left_out:
            self._say(f"left out: {name}: {reason}")

    def _say(self, text: str) -> None:
        say(f"{self.row}: {text}" if self.row else text, self._quiet)


def step_lines(step: "StepDone") -> tuple[str, ...]:
    """Where a run is and how fast, and its losses, each in less than 78 columns."""
    place = f"fold {step.fold} seed {step.seed}, epoch {step.epoch}/{step.epochs}, step {step.step}/{step.steps}"
    speed = f"{step.audio_seconds_per_second:.0f} s audio/s, {step.memory / 1e9:.1f} GB"
    losses: Mapping[str, float | None] = {"emotion": step.main_loss, "aux1": step.aux1_loss, "aux2": step.aux2_loss}
    told = ", ".join(f"{name} {value:.3f}" for name, value in losses.items() if value is not None)
    shares: Mapping[str, float | None] = {
        "same class": step.same_class_share,
        "unchanged": step.unchanged_share,
        "without partner": step.lonely_share,
    }
    pairs = ", ".join(f"{name} {100 * value:.0f} %" for name, value in shares.items() if value is not None)
    lines = (f"{place}; {speed}", f"loss {step.loss:.3f}: {told}")
    return (*lines, f"pairs: {pairs}") if pairs else lines


def print_finetuned(result: "Result", as_json: bool) -> None:
    """Print a finished result as a table, or as JSON."""
    from mer.report import results_report

    data = {"directory": str(result.directory), **result.values}
    print_result({"results": [data]}, results_report([data]), as_json)
