"""`mer train-head`."""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.commands.command_line import Given, options_from, refuse_ignored
from mer.commands.console import clear_errors, even_untracked, print_result, progress_bar, say
from mer.commands.options import AllowMissingOption, CacheOption, JsonOption, QuietOption, RunsOption
from mer.heads.config import HeadConfig, head_config
from mer.protocol.paper_setup import MULTI_LEVEL
from mer.settings.kinds import parse_granularity
from mer.settings.option import SAID
from mer.tracking.trackers import check_tracking

if TYPE_CHECKING:
    from mer.cache import CacheSet, FeatureCache
    from mer.heads import Result


@options_from(HeadConfig, defaults={"fusion": None, "classes": None}, more={"fusion": (MULTI_LEVEL,)})
def train_head(
    *,
    cache: CacheOption = Path("features"),
    runs: RunsOption = Path("runs"),
    allow_missing_segments: AllowMissingOption = False,
    show_layers: Annotated[
        bool, typer.Option("--show-layers", rich_help_panel=SAID, help="Also print what each encoder layer contributes, as bars.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    given: Given,
) -> None:
    """Stage 2: train a fusion head on cached features, leaving one session (or speaker ...) out, several seeds each.

    Five folds x five seeds are the 25 experiments of Zhao 2022, trained at once.
    The test session never chooses an epoch.
    """
    with clear_errors():
        # The classes may follow from the cache; what else cannot be trained is refused before it is read.
        configs = head_configs({**given, "classes": given["classes"] or "4"})
        used = {field for config in configs for field in config.used()}
        refuse_ignored(given, HeadConfig, used, f"the head that is trained ({' and '.join(each.fusion for each in configs)})")
        check_tracking(given["track"])
        from mer.cache import open_features
        from mer.heads.features.held_names import in_cache
        from mer.protocol.classes import usual_classes

        features = checked(open_features(cache), quiet)
        configs = tuple(in_cache(each, features) for each in configs)
        if not allow_missing_segments:
            refuse_missing_tiers(features, {name for config in configs for name in config.branches})
        classes = given["classes"] or usual_classes(features.spec["corpus"]["kind"])
        chosen = tuple(replace(each, classes=classes) for each in configs)
        result, untracked = even_untracked(lambda: train_with_bar(features, chosen, runs, quiet))
    print_results([result], as_json, show_layers=show_layers)
    if result.values["failed_runs"] or untracked:
        raise typer.Exit(1)


def refuse_missing_tiers(features: "FeatureCache | CacheSet", wanted: "Collection[str]") -> None:
    """Refuse to train on means of whole utterances under the name of phones, syllables or words.

    Raises:
        CacheError: a wanted tier has no units of its own in most utterances.
    """
    from mer.cache import CacheError
    from mer.cache.granularity import in_order
    from mer.extract.own_units import missing_tiers, tiers_of_cache

    missing = missing_tiers(tiers_of_cache(features, in_order(wanted)))
    if missing:
        raise CacheError(
            "\n".join([f"{features.path}: not trained, because tiers that are asked for are missing:", *missing.values()])
        )


def checked(features: "FeatureCache | CacheSet", quiet: bool) -> "FeatureCache | CacheSet":
    """Read and check every shard now, under a bar, rather than in the middle of training; say what is missing."""
    from mer.cache import doubt

    with progress_bar("check cache", quiet) as bar:
        features.check(progress=lambda done, total: bar.update(done, total))
    if note := doubt(features):
        say(f"note: {note}", quiet)
    if features.unfinished:
        say(f"note: {features.unfinished:,} planned utterances are not extracted yet; `mer extract` goes on with them", quiet)
    return features


def head_configs(given: "Mapping[str, Any]") -> tuple[HeadConfig, ...]:
    """The head that is asked for, by fields; for multi-level fusion its two heads."""
    fusion = given["fusion"] or ("linear" if given["modality"] == "text" or _is_text_alone(given["granularities"]) else "late")
    if fusion != MULTI_LEVEL:
        return (head_config(**{**given, "fusion": fusion}),)
    first, _, second = "+".join(given["granularities"]).partition("/")
    parts = {"coattention": first, "late": second or first}
    return tuple(
        head_config(**{**given, "fusion": each, "granularities": parse_granularity(names)}) for each, names in parts.items()
    )


def _is_text_alone(granularities: "Sequence[str]") -> bool:
    """Whether one encoder's wordpieces are all that is trained on."""
    from mer.cache.granularity import is_text

    return len(granularities) == 1 and is_text(granularities[0])


def train_with_bar(features: "FeatureCache | CacheSet", configs: "Sequence[HeadConfig]", runs: Path, quiet: bool) -> "Result":
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
                    for note in event.notes:
                        say(f"note: {note}", quiet)
                case StatisticsProgress():
                    bar.update(0, 1, f"normalisation of {event.granularity}: {event.done:,}/{event.total:,}")
                case EpochDone():
                    # Nobody knows which epoch is the last: half way after ten, which is usual, and never back.
                    share = min(event.epoch / (event.epoch + 10), event.epoch / event.max_epochs)
                    reached = max(reached, event.over + (event.runs - event.over) * share)
                    detail = f"{event.over}/{event.runs} runs, epoch {event.epoch}, validation {event.validation}"
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
