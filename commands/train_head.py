"""`mer train-head`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.commands.console import clear_errors, print_result, progress_bar, say
from mer.commands.corpus_choice import default_classes
from mer.commands.options import (
    HOW,
    WHAT,
    CacheOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    RunsOption,
    SeedsOption,
)

if TYPE_CHECKING:
    from mer.cache import FeatureCache
    from mer.heads import HeadConfig, Result


def train_head(
    cache: CacheOption = Path("features"),
    runs: RunsOption = Path("runs"),
    granularity: Annotated[str, typer.Option(rich_help_panel=WHAT, help="Speech branches: some of F+P+S+W.")] = "F+S",
    modality: Annotated[str, typer.Option(rich_help_panel=WHAT, help="both, speech or text.")] = "both",
    fusion: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=WHAT,
            help="late (one branch per granularity, logits added) or linear (one branch).",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, help="4 (hap and exc merged), 4-noexc, 6, as-is. Default: 4 for IEMOCAP."),
    ] = None,
    folds: Annotated[str | None, typer.Option(rich_help_panel=HOW, help="Test sessions, such as 1-5. Default: all.")] = None,
    seeds: SeedsOption = 5,
    validation: Annotated[
        str,
        typer.Option(
            rich_help_panel=HOW,
            help="What chooses the epoch: random (10 % of training, the paper) or session.",
        ),
    ] = "random",
    normalize: Annotated[
        str, typer.Option(rich_help_panel=HOW, help="global (statistics of the training part) or none.")
    ] = "global",
    hidden: Annotated[int, typer.Option(rich_help_panel=HOW, help="Width of the two hidden layers of a branch.")] = 128,
    learning_rate: Annotated[float, typer.Option(rich_help_panel=HOW, help="Of Adam.")] = 1e-3,
    batch: Annotated[int, typer.Option(rich_help_panel=HOW, help="Utterances per step.")] = 32,
    max_epochs: Annotated[int, typer.Option(rich_help_panel=HOW, help="Upper limit; early stopping usually ends before.")] = 100,
    patience: Annotated[int, typer.Option(rich_help_panel=HOW, help="Epochs without a lower validation loss.")] = 4,
    device: DeviceOption = "auto",
    ram: Annotated[
        float | None,
        typer.Option(rich_help_panel=HOW, help="GiB of features to keep in memory; more is streamed from disk."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Stage 2: train a fusion head on cached features, leaving one session out, several seeds each.

    Five folds x five seeds are the 25 experiments of Zhao 2022. The test session never chooses an epoch.
    """
    with clear_errors():
        from mer.cache import open_cache
        from mer.corpus import parse_sessions
        from mer.heads import HeadConfig

        features = open_cache(cache)
        config = HeadConfig(
            granularities=tuple(granularity.upper().split("+")),
            modality=modality,
            fusion=fusion or ("linear" if modality == "text" else "late"),
            classes=classes or default_classes(features.spec["corpus"]["kind"]),
            folds=parse_sessions(folds) if folds else None,
            seeds=tuple(range(seeds)),
            validation=validation,
            normalize=normalize,
            hidden=hidden,
            learning_rate=learning_rate,
            batch=batch,
            max_epochs=max_epochs,
            patience=patience,
            device=device,
            ram_gib=ram,
        )
        result = train_with_bar(features, config, runs, quiet)
    print_results([result], as_json)
    if result.values["failed_runs"]:
        raise typer.Exit(1)


def train_with_bar(features: "FeatureCache", config: "HeadConfig", runs: Path, quiet: bool) -> "Result":
    """Train a head under a progress bar."""
    from mer.heads import EpochDone, Event, StatisticsProgress, TrainingStarted, train_head

    title = f"train {config.fusion} {'+'.join(config.branches)}"
    with progress_bar(title, quiet) as bar:

        def show(event: Event) -> None:
            match event:
                case TrainingStarted():
                    say(f"{title}: {event.runs} runs on {event.device}; {event.features}", quiet)
                case StatisticsProgress():
                    bar.update(0, 1, f"normalisation of {event.granularity}: {event.done:,}/{event.total:,}")
                case EpochDone():
                    done = event.run - 1 + event.epoch / event.max_epochs
                    detail = f"run {event.run}/{event.runs} epoch {event.epoch} validation UA {100 * event.validation_ua:.1f}"
                    bar.update(done, event.runs, detail)
                case _:
                    bar.update(event.run, event.runs)

        result = train_head(features, config, runs, progress=show, command=" ".join(["mer", *sys.argv[1:]]))
    if result.reused:
        say(f"{result.directory}: already trained with these settings; this is its result", quiet)
    return result


def print_results(results: Sequence["Result"], as_json: bool) -> None:
    """Print finished results as one table, or as JSON."""
    from mer.report import results_report

    data = [{"directory": str(result.directory), **result.values} for result in results]
    print_result({"results": data}, results_report(data), as_json)
