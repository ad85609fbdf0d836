"""`mer finetune`."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.commands.console import clear_errors, print_result, progress_bar, say
from mer.commands.corpus_choice import default_classes, find_corpus, kind_of_corpus, revisions_by_encoder
from mer.commands.options import (
    HOW,
    SPEECH_MODEL,
    TEXT_MODEL,
    WHAT,
    CorpusOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    RunsOption,
    SeedsOption,
    SpeechModelOption,
    TextModelOption,
)

if TYPE_CHECKING:
    from mer.finetune.events import StepDone
    from mer.heads import Result

TRAINING = "Training"
KEPT = "What is kept"


def finetune(
    corpus: CorpusOption = None,
    runs: RunsOption = Path("runs"),
    session: Annotated[
        str | None, typer.Option(rich_help_panel=WHAT, help="Use these sessions only, such as 1-5. Default: all.")
    ] = None,
    modality: Annotated[str, typer.Option(rich_help_panel=WHAT, help="both, speech or text.")] = "both",
    fusion: Annotated[
        str, typer.Option(rich_help_panel=WHAT, help="ca: cross-attention; fc: means of both encoders, concatenated.")
    ] = "ca",
    fusion_layers: Annotated[int, typer.Option(rich_help_panel=WHAT, help="K, layers of cross-attention.")] = 1,
    aux: Annotated[str, typer.Option(rich_help_panel=WHAT, help="Auxiliary tasks: none, 1, 2 or 1+2.")] = "none",
    aux_weights: Annotated[
        str, typer.Option(rich_help_panel=WHAT, help="Weights of the two auxiliary losses beside the emotion's.")
    ] = "1,1",
    speech_model: SpeechModelOption = SPEECH_MODEL,
    text_model: TextModelOption = TEXT_MODEL,
    revision: Annotated[
        list[str] | None,
        typer.Option(rich_help_panel=WHAT, help="Branch, tag or commit on the hub: speech=REV and/or text=REV."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, help="4 (hap and exc merged), 4-noexc, 6, as-is. Default: 4 for IEMOCAP."),
    ] = None,
    text_tags: Annotated[
        str, typer.Option(rich_help_panel=WHAT, help="drop or keep [LAUGHTER]-style tags in transcripts.")
    ] = "drop",
    max_seconds: Annotated[
        float, typer.Option(rich_help_panel=WHAT, help="Longer audio is cut here, and counted; in the test, too.")
    ] = 20.0,
    folds: Annotated[str | None, typer.Option(rich_help_panel=HOW, help="Test sessions, such as 1-5. Default: all.")] = None,
    seeds: SeedsOption = 5,
    validation: Annotated[
        str,
        typer.Option(
            rich_help_panel=HOW,
            help="What is held out to choose the epoch: random (a share of training), session, or none (as Sun 2023).",
        ),
    ] = "random",
    validation_share: Annotated[
        float, typer.Option(rich_help_panel=HOW, help="Share of training that random holds out; 0 is --validation none.")
    ] = 0.1,
    epoch_selection: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=HOW,
            help="Weights that are tested: validation (lowest loss) or last. Default: last where nothing is held out.",
        ),
    ] = None,
    text_disjoint: Annotated[
        bool,
        typer.Option("--text-disjoint", rich_help_panel=HOW, help="Train without sentences that the test session has too."),
    ] = False,
    device: DeviceOption = "auto",
    precision: Annotated[
        str, typer.Option(rich_help_panel=HOW, help="auto (bfloat16 where the GPU has it), float32 or bfloat16.")
    ] = "auto",
    workers: Annotated[int, typer.Option(rich_help_panel=HOW, help="Threads that read audio ahead.")] = 2,
    epochs: Annotated[int, typer.Option(rich_help_panel=TRAINING, help="Passes over the training part.")] = 20,
    batch: Annotated[
        int, typer.Option(rich_help_panel=TRAINING, help="Utterances of one step, over all processes and accumulation.")
    ] = 32,
    batch_seconds: Annotated[
        float, typer.Option(rich_help_panel=TRAINING, help="Padded audio of one forward pass; memory, no number.")
    ] = 60.0,
    checkpointing: Annotated[
        bool,
        typer.Option("--checkpointing", rich_help_panel=TRAINING, help="Recompute activations: far less memory, more time."),
    ] = False,
    encoder_rate: Annotated[float, typer.Option(rich_help_panel=TRAINING, help="AdamW's step size for the encoders.")] = 2e-5,
    fusion_rate: Annotated[float, typer.Option(rich_help_panel=TRAINING, help="The same for all that is new.")] = 1e-4,
    weight_decay: Annotated[float, typer.Option(rich_help_panel=TRAINING, help="Of AdamW, for matrices.")] = 0.01,
    warmup: Annotated[float, typer.Option(rich_help_panel=TRAINING, help="Share of steps over which rates rise.")] = 0.1,
    clip: Annotated[float, typer.Option(rich_help_panel=TRAINING, help="Largest norm of the gradients; 0: any.")] = 1.0,
    dropout: Annotated[float, typer.Option(rich_help_panel=TRAINING, help="Of the fused embedding.")] = 0.1,
    train_cnn: Annotated[
        bool, typer.Option("--train-cnn", rich_help_panel=TRAINING, help="Train the speech encoder's convolutions, too.")
    ] = False,
    spec_augment: Annotated[
        bool, typer.Option("--spec-augment", rich_help_panel=TRAINING, help="Mask frames as the checkpoint's config says.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume", rich_help_panel=KEPT, help="Go on from an interrupted run's checkpoint, or begin it anew."
        ),
    ] = True,
    keep: Annotated[int, typer.Option(rich_help_panel=KEPT, help="Checkpoints on disk while a run trains.")] = 1,
    checkpoint_minutes: Annotated[
        float, typer.Option(rich_help_panel=KEPT, help="Minutes between checkpoints; 0: after every step.")
    ] = 10.0,
    weights: Annotated[
        bool, typer.Option("--weights/--no-weights", rich_help_panel=KEPT, help="Keep every run's weights (base size: 0.8 GB).")
    ] = True,
    track: Annotated[
        str | None, typer.Option(rich_help_panel=KEPT, help="tensorboard: event files, too. JSON lines are always written.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train wav2vec 2.0 and BERT end to end with cross-attention and two auxiliary tasks (Sun 2023), one session left out.

    Runs on one CPU or GPU, and on several under `accelerate launch` or `torchrun`. Stop it whenever you like
    (Ctrl-C): the same command goes on from the last checkpoint. The test session never chooses an epoch.
    """
    with clear_errors(process=process_number()):
        from mer.corpus import parse_sessions
        from mer.finetune.config import FinetuneConfig
        from mer.finetune.run import Storage

        revisions = revisions_by_encoder(revision or [])
        config = FinetuneConfig(
            speech_model=speech_model,
            text_model=text_model,
            speech_revision=revisions.get("speech"),
            text_revision=revisions.get("text"),
            modality=modality,
            fusion=fusion,
            fusion_layers=fusion_layers,
            aux=aux,
            aux_weights=pair_of_numbers(aux_weights),
            dropout=dropout,
            encoder_rate=encoder_rate,
            fusion_rate=fusion_rate,
            weight_decay=weight_decay,
            warmup=warmup,
            epochs=epochs,
            batch=batch,
            batch_seconds=batch_seconds,
            clip=clip,
            checkpointing=checkpointing,
            train_cnn=train_cnn,
            spec_augment=spec_augment,
            max_seconds=max_seconds,
            text_tags=text_tags,
            epoch_selection=epoch_selection,
            validation=validation,
            validation_share=validation_share,
            text_disjoint=text_disjoint,
            classes=classes or default_classes(kind_of_corpus(corpus)),
            precision=precision,
            seeds=tuple(range(seeds)),
            folds=parse_sessions(folds) if folds else None,
            device=device,
            keep=keep,
            checkpoint_minutes=checkpoint_minutes,
            workers=workers,
            track=track,
        )
        found = find_corpus(corpus, session, config.classes, 0)
        result = finetune_with_bar(found, config, Storage(runs=runs, weights=weights, resume=resume), quiet)
    if process_number():
        return
    print_finetuned(result, as_json)
    if result.values["failed_runs"] or result.values["utterances"]["left_out"]:
        raise typer.Exit(1)


def process_number() -> int:
    """Number of this process among those that a launcher started; 0 without one. Only process 0 says anything."""
    return int(os.environ.get("RANK", "0"))


def pair_of_numbers(text: str) -> tuple[float, float]:
    """`1,0.5` as numbers."""
    try:
        first, second = (float(each) for each in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: expected two numbers such as 1,0.5", param_hint="--aux-weights") from None
    return first, second


def finetune_with_bar(corpus: Any, config: Any, storage: Any, quiet: bool) -> "Result":
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

        result = finetune_row(corpus, config, storage, progress=show, command=" ".join(["mer", *sys.argv[1:]]))
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
        from mer.finetune.events import CheckpointSkipped, RunStarted, StepDone
        from mer.finetune.progress import FinetuningStarted
        from mer.heads import RunDone

        match event:
            case FinetuningStarted():
                self._runs, self._over = event.runs, event.finished
                self._begin(event)
            case RunStarted():
                where = f"fold {event.fold} seed {event.seed}"
                self.below = (where,)
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
