"""`mer train-head`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    granularity: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHAT, help="Speech: some of F+P+S+W; for multi-level coattention's and late's, such as F+P/F+S."
        ),
    ] = "F+S",
    modality: Annotated[str, typer.Option(rich_help_panel=WHAT, help="both, speech or text.")] = "both",
    fusion: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=WHAT,
            help="late, coattention, concatenation, multi-level; linear or transformer for a single branch; or "
            "package.module:Class of your own (docs/extending.md). Default: late.",
        ),
    ] = None,
    head_option: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=WHAT, metavar="NAME=VALUE", help="An option that only a head of your own has; again for more."
        ),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(rich_help_panel=WHAT, help="Encoder layers to average, such as 9-12. Default: all cached.")
    ] = None,
    layer_weights: Annotated[
        str, typer.Option(rich_help_panel=WHAT, help="plain (w / sum w, the paper) or softmax (all positive).")
    ] = "plain",
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
    text_disjoint: Annotated[
        bool,
        typer.Option("--text-disjoint", rich_help_panel=HOW, help="Train without sentences that the test session has too."),
    ] = False,
    normalize: Annotated[
        str,
        typer.Option(
            rich_help_panel=HOW,
            help="By training statistics: speech (the paper) or global (text, too). By each speaker's own: speaker. Or none.",
        ),
    ] = "speech",
    hidden: Annotated[int, typer.Option(rich_help_panel=HOW, help="Width of the hidden layers of a linear branch.")] = 128,
    attention_heads: Annotated[
        int | None,
        typer.Option(rich_help_panel=HOW, help="Heads of an attention layer. Default: 8, fewer for narrow encoders."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(rich_help_panel=HOW, help="Of Adam. Default: 1e-3, with attention 5e-5 (the paper).")
    ] = None,
    batch: Annotated[int, typer.Option(rich_help_panel=HOW, help="Utterances per step.")] = 32,
    max_epochs: Annotated[int, typer.Option(rich_help_panel=HOW, help="Upper limit; early stopping usually ends before.")] = 100,
    patience: Annotated[int, typer.Option(rich_help_panel=HOW, help="Epochs without a lower validation loss.")] = 4,
    device: DeviceOption = "auto",
    stack: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=HOW, help="Runs trained at once. Default: as many as fit into memory.")
    ] = None,
    ram: Annotated[
        float | None,
        typer.Option(rich_help_panel=HOW, help="GiB of features to keep in memory; more is streamed from disk."),
    ] = None,
    device_memory: Annotated[
        float | None, typer.Option(rich_help_panel=HOW, help="GiB of features to keep in GPU memory; more stays outside.")
    ] = None,
    show_layers: Annotated[
        bool, typer.Option("--show-layers", help="Also print what each encoder layer contributes, as bars.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Stage 2: train a fusion head on cached features, leaving one session out, several seeds each.

    Five folds x five seeds are the 25 experiments of Zhao 2022, trained at once.
    The test session never chooses an epoch.
    """
    with clear_errors():
        from mer.cache import open_cache
        from mer.corpus import parse_sessions

        features = checked(open_cache(cache), quiet)
        settings: dict[str, Any] = {
            "modality": modality,
            "head_options": tuple(head_option or ()),
            "layers": layer_numbers(layers),
            "layer_weights": layer_weights,
            "classes": classes or default_classes(features.spec["corpus"]["kind"]),
            "folds": parse_sessions(folds) if folds else None,
            "seeds": tuple(range(seeds)),
            "validation": validation,
            "text_disjoint": text_disjoint,
            "normalize": normalize,
            "hidden": hidden,
            "attention_heads": attention_heads,
            "learning_rate": learning_rate,
            "batch": batch,
            "max_epochs": max_epochs,
            "patience": patience,
            "device": device,
            "stack": stack,
            "ram_gib": ram,
            "device_memory_gib": device_memory,
        }
        chosen = fusion or ("linear" if modality == "text" else "late")
        result = train_with_bar(features, head_configs(chosen, granularity, settings), runs, quiet)
    print_results([result], as_json, show_layers=show_layers)
    if result.values["failed_runs"]:
        raise typer.Exit(1)


def checked(features: "FeatureCache", quiet: bool) -> "FeatureCache":
    """Read and check every shard now, under a bar, rather than in the middle of training; say what is missing."""
    from mer.cache import doubt

    with progress_bar("check cache", quiet) as bar:
        features.check(progress=lambda done, total: bar.update(done, total))
    if note := doubt(features):
        say(f"note: {note}", quiet)
    if features.unfinished:
        say(f"note: {features.unfinished:,} planned utterances are not extracted yet; `mer extract` goes on with them", quiet)
    return features


def layer_numbers(text: str | None) -> tuple[int, ...] | None:
    """`9-12` as numbers."""
    if text is None:
        return None
    from mer.extract import parse_layers

    return parse_layers(text)


def head_configs(fusion: str, granularity: str, settings: "Mapping[str, Any]") -> "tuple[HeadConfig, ...]":
    """The head that is asked for; for multi-level fusion its two heads."""
    from mer.heads import HeadConfig

    first, _, second = granularity.upper().partition("/")
    if fusion != "multi-level":
        return (HeadConfig(fusion=fusion, granularities=tuple(granularity.upper().split("+")), **settings),)
    return (
        HeadConfig(fusion="coattention", granularities=tuple(first.split("+")), **settings),
        HeadConfig(fusion="late", granularities=tuple((second or first).split("+")), **settings),
    )


def train_with_bar(features: "FeatureCache", configs: "Sequence[HeadConfig]", runs: Path, quiet: bool) -> "Result":
    """Train a head, or the two of multi-level fusion, under a progress bar."""
    from mer.heads import EpochDone, Event, RunDone, StackHalved, StatisticsProgress, TrainingStarted, train_multi_level
    from mer.heads import train_head as train_one

    title = "train " + " and ".join(f"{config.fusion} {'+'.join(config.branches)}" for config in configs)
    with progress_bar(title, quiet) as bar:
        reached = 0.0

        def show(event: Event) -> None:
            nonlocal reached
            match event:
                case TrainingStarted():
                    reached = 0.0
                    kept = f" ({event.finished} finished before)" if event.finished else ""
                    say(f"{title}: {event.runs} runs{kept}, {event.stack} at once on {event.device}; {event.features}", quiet)
                case StatisticsProgress():
                    bar.update(0, 1, f"normalisation of {event.granularity}: {event.done:,}/{event.total:,}")
                case EpochDone():
                    # Nobody knows which epoch is the last: half way after ten, which is usual, and never back.
                    share = min(event.epoch / (event.epoch + 10), event.epoch / event.max_epochs)
                    reached = max(reached, event.over + (event.runs - event.over) * share)
                    detail = f"{event.over}/{event.runs} runs, epoch {event.epoch}, validation UA {100 * event.validation_ua:.1f}"
                    bar.update(reached, event.runs, detail)
                case StackHalved():
                    say(f"{title}: out of memory; going on with {event.runs} runs at once", quiet)
                case RunDone():
                    reached = max(reached, event.over)
                    bar.update(reached, event.runs)

        command = " ".join(["mer", *sys.argv[1:]])
        if len(configs) == 1:
            result = train_one(features, configs[0], runs, progress=show, command=command)
        else:
            result = train_multi_level(features, configs[0], configs[1], runs, progress=show, command=command)
    if result.reused:
        say(f"{result.directory}: already trained with these settings; this is its result", quiet)
    return result


def print_results(results: "Sequence[Result]", as_json: bool, *, show_layers: bool = False) -> None:
    """Print finished results as one table, or as JSON."""
    from rich.console import Group

    from mer.report import layer_chart, results_report

    data = [{"directory": str(result.directory), **result.values} for result in results]
    parts = [results_report(data)]
    for result in results if show_layers else ():
        names = list(result.values["layer_shares"])
        shares = {name: [run["layer_shares"][name] for run in result.values["runs"]] for name in names}
        parts.append(layer_chart(shares, result.values["layers"]))
    print_result({"results": data}, Group(*parts), as_json)
