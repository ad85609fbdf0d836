"""`mer grid`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.commands.console import clear_errors, print_result, progress_bar, say
from mer.commands.corpus_choice import default_classes
from mer.commands.options import HOW, WHAT, CacheOption, DeviceOption, JsonOption, QuietOption, RunsOption
from mer.commands.train_head import checked

if TYPE_CHECKING:
    from mer.cache import FeatureCache
    from mer.heads.grid import Grid
    from mer.heads.grid_runner import GridResult


def grid(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE", help="zhao2022-table1, zhao2022-table2, zhao2022-table3, or a TOML file."),
    ] = None,
    list_presets: Annotated[bool, typer.Option("--list", help="List the grids that come with mer.")] = False,
    cache: CacheOption = Path("features"),
    runs: RunsOption = Path("runs"),
    classes: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, help="4 (hap and exc merged), 4-noexc, 6, as-is. Default: 4 for IEMOCAP."),
    ] = None,
    folds: Annotated[str | None, typer.Option(rich_help_panel=HOW, help="Test sessions, such as 1-5. Default: all.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=HOW, help="Random seeds: runs per fold. Default: 5.")
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(rich_help_panel=HOW, help="What chooses the epoch: random (10 % of training, the default) or session."),
    ] = None,
    text_disjoint: Annotated[
        bool,
        typer.Option("--text-disjoint", rich_help_panel=HOW, help="Train without sentences that the test session has too."),
    ] = False,
    max_epochs: Annotated[
        int | None, typer.Option(rich_help_panel=HOW, help="Upper limit; early stopping usually ends before. Default: 100.")
    ] = None,
    device: DeviceOption = "auto",
    stack: Annotated[int | None, typer.Option(rich_help_panel=HOW, help="Runs trained at once. Default: as many as fit.")] = None,
    ram: Annotated[
        float | None,
        typer.Option(rich_help_panel=HOW, help="GiB of features to keep in memory; more is streamed from disk."),
    ] = None,
    device_memory: Annotated[
        float | None, typer.Option(rich_help_panel=HOW, help="GiB of features to keep in GPU memory.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fill a whole table: train every row of a paper's table, or of your own, and print ours beside the paper's.

    Options go before what the grid says. Rows that are finished already, from whichever command, are taken as they
    are: an interrupted grid goes on where it stopped. A row that fails is listed, and the exit code is 1.
    """
    with clear_errors():
        if list_presets:
            print_presets(as_json)
            return
        from mer.cache import open_cache
        from mer.corpus import parse_sessions
        from mer.heads.grid import GridError
        from mer.heads.grid_file import preset_names, read_grid

        if name is None:
            raise GridError(f"which grid? Give one of {', '.join(preset_names())}, or a TOML file; `mer grid --list` tells more")
        given = {
            "classes": classes,
            "folds": parse_sessions(folds) if folds else None,
            "seeds": tuple(range(seeds)) if seeds else None,
            "validation": validation,
            "text_disjoint": text_disjoint or None,
            "max_epochs": max_epochs,
            "device": None if device == "auto" else device,
            "stack": stack,
            "ram_gib": ram,
            "device_memory_gib": device_memory,
        }
        overrides = {option: value for option, value in given.items() if value is not None}
        features = checked(open_cache(cache), quiet)
        fallbacks = {"classes": default_classes(features.spec["corpus"]["kind"])}
        result = run_with_bar(features, read_grid(name, fallbacks=fallbacks, overrides=overrides), runs, quiet)
    print_grid(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def run_with_bar(features: "FeatureCache", grid: "Grid", runs: Path, quiet: bool) -> "GridResult":
    """Train a grid under one progress bar over all its rows."""
    from mer.heads import EpochDone, RunDone, StackHalved, StatisticsProgress, TrainingStarted
    from mer.heads.grid_meter import GridMeter
    from mer.heads.grid_runner import ComparisonStarted, RowDone, RowStarted, run_grid

    meter = GridMeter()
    with progress_bar("grid", quiet) as bar:
        row, detail = "", ""

        def show(event: Any) -> None:
            nonlocal row, detail
            meter.take(event)
            match event:
                case RowStarted():
                    row = detail = f"{event.row}/{event.rows} {event.name}"
                case TrainingStarted():
                    kept = f" ({event.finished} finished before)" if event.finished else ""
                    say(f"{row}: {event.runs} runs{kept}, {event.stack} at once on {event.device}; {event.features}", quiet)
                case StatisticsProgress():
                    detail = f"{row} statistics of {event.granularity}"
                case EpochDone():
                    detail = f"{row} {event.over}/{event.runs} runs"
                case RunDone() if event.failure:
                    say(f"{row}: a run failed: {event.failure}", quiet)
                case StackHalved():
                    say(f"{row}: memory ran out; {event.runs} runs at once from now on", quiet)
                case RowDone():
                    outcome = f"failed: {event.failure}" if event.ua is None else f"UA {100 * event.ua:.2f}"
                    say(f"{row}: {outcome}{', finished before' if event.reused else ''}", quiet)
                case ComparisonStarted():
                    detail = f"comparing {event.rows} rows"
                case _:
                    pass
            bar.update(meter.done, meter.total, detail)

        return run_grid(features, grid, runs, progress=show, command=" ".join(["mer", *sys.argv[1:]]))


def print_grid(result: "GridResult", as_json: bool) -> None:
    """Print a finished grid as tables, or as JSON."""
    from mer.report.grid_table import grid_report

    data = {"directory": str(result.directory), **result.values}
    print_result(data, grid_report(data), as_json)


def print_presets(as_json: bool) -> None:
    """Print the grids that come with mer."""
    from mer.heads.grid_file import preset_names, read_grid
    from mer.report.grid_table import preset_table

    grids = [read_grid(name) for name in preset_names()]
    presets = [
        {"name": grid.name, "title": grid.title, "paper": grid.paper, "rows": [row.name for row in grid.rows]} for grid in grids
    ]
    print_result({"grids": presets}, preset_table(presets), as_json)
