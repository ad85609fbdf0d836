"""`mer grid`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.commands.backend_options import (
    BackendOption,
    GpusPerWorkerOption,
    RayAddressOption,
    ShardRankOption,
    ShardWorldOption,
    SlurmOption,
    WorkersOption,
)
from mer.commands.command_line import parser_of
from mer.commands.console import clear_errors, print_result
from mer.commands.corpus_choice import revisions_by_encoder
from mer.commands.finetune import process_number
from mer.commands.grid_view import WhereItRuns, finetune_grid, head_grid
from mer.commands.options import (
    HOW,
    WHAT,
    AllowMissingOption,
    CacheOption,
    CorpusOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    RunsOption,
)
from mer.settings.kinds import SEEDS

if TYPE_CHECKING:
    from mer.grids.grid import Grid
    from mer.grids.grid_table import GridResult

ON_CACHE, TUNED = "Grids of heads on cached features", "Grids that are fine-tuned (sun2023)"
AS_IS = "as-is"


def grid(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE", help="zhao2022-table1, -table2, -table3, sun2023-table1, -table2, or a TOML file."),
    ] = None,
    list_presets: Annotated[bool, typer.Option("--list", help="List the grids that come with mer.")] = False,
    cache: CacheOption = Path("features"),
    corpus: CorpusOption = None,
    runs: RunsOption = Path("runs"),
    classes: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, help="4 (hap and exc merged), 4-noexc, 6, as-is. Default: 4 for IEMOCAP."),
    ] = None,
    folds: Annotated[str | None, typer.Option(rich_help_panel=HOW, help="Test sessions, such as 1-5. Default: all.")] = None,
    seeds: Annotated[
        Any,
        typer.Option(
            rich_help_panel=HOW,
            parser=parser_of(SEEDS, "seeds"),
            help="Runs per fold: a count, or a list such as 0,2,5. Default: 5.",
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=HOW, help="What chooses the epoch: random (10 % of training), session, or none (fine-tuning only)."
        ),
    ] = None,
    text_disjoint: Annotated[
        bool,
        typer.Option("--text-disjoint", rich_help_panel=HOW, help="Train without sentences that the test session has too."),
    ] = False,
    device: DeviceOption = "auto",
    max_epochs: Annotated[
        int | None, typer.Option(rich_help_panel=ON_CACHE, help="Upper limit; early stopping usually ends before. Default: 100.")
    ] = None,
    allow_missing_segments: AllowMissingOption = False,
    stack: Annotated[
        int | None, typer.Option(rich_help_panel=ON_CACHE, help="Runs trained at once. Default: as many as fit.")
    ] = None,
    ram: Annotated[
        float | None,
        typer.Option(rich_help_panel=ON_CACHE, help="GiB of features to keep in memory; more is streamed from disk."),
    ] = None,
    device_memory: Annotated[
        float | None, typer.Option(rich_help_panel=ON_CACHE, help="GiB of features to keep in GPU memory.")
    ] = None,
    speech_model: Annotated[
        str | None,
        typer.Option(envvar="MER_SPEECH_MODEL", rich_help_panel=TUNED, help="Hub id or folder. Default: wav2vec2-base."),
    ] = None,
    text_model: Annotated[
        str | None,
        typer.Option(envvar="MER_TEXT_MODEL", rich_help_panel=TUNED, help="Hub id or folder. Default: bert-base-uncased."),
    ] = None,
    revision: Annotated[
        list[str] | None, typer.Option(rich_help_panel=TUNED, help="On the hub: speech=REV and/or text=REV.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(rich_help_panel=TUNED, help="Passes over the training part. Default: 20.")] = None,
    batch_seconds: Annotated[
        float | None, typer.Option(rich_help_panel=TUNED, help="Padded audio of one forward pass. Default: 60.")
    ] = None,
    checkpointing: Annotated[
        bool,
        typer.Option(
            "--gradient-checkpointing",
            "--checkpointing",
            rich_help_panel=TUNED,
            help="Recompute activations: far less memory, more time.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume/--no-resume", rich_help_panel=TUNED, help="Go on from an interrupted run's checkpoint, or anew."),
    ] = True,
    weights: Annotated[
        bool, typer.Option("--weights/--no-weights", rich_help_panel=TUNED, help="Keep every run's weights (base size: 0.8 GB).")
    ] = True,
    track: Annotated[str | None, typer.Option(rich_help_panel=TUNED, help="tensorboard: event files, too.")] = None,
    backend: BackendOption = "local",
    workers: WorkersOption = None,
    shard_rank: ShardRankOption = None,
    shard_world: ShardWorldOption = None,
    slurm: SlurmOption = None,
    ray_address: RayAddressOption = None,
    gpus_per_worker: GpusPerWorkerOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fill a whole table: train every row of a paper's table, or of your own, and print ours beside the paper's.

    Heads are trained on --cache, models of Sun 2023 end to end on --corpus. Options go before what the grid says.
    Bundles of runs (of models: whole rows) are shared by the processes of this machine, or of a cluster.
    Rows that are finished already, from whichever command, are taken as they are: an interrupted grid goes on where it
    stopped. A row that fails is listed, and the exit code is 1.
    """
    with clear_errors(process=process_number()):
        if list_presets:
            print_presets(as_json)
            return
        from mer.grids.grid import GridError
        from mer.grids.grid_file import kind_of_grid, preset_names
        from mer.grids.grid_kind import FINETUNE, HEADS
        from mer.settings.kinds import names_of

        if name is None:
            raise GridError(f"which grid? Give one of {', '.join(preset_names())}, or a TOML file; `mer grid --list` tells more")
        kind = kind_of_grid(name, (HEADS, FINETUNE))
        revisions = revisions_by_encoder(revision or [])
        shared = {
            "classes": classes,
            "folds": names_of("--folds", folds) if folds else None,
            "seeds": seeds,
            "validation": validation,
            "text_disjoint": text_disjoint or None,
            "device": None if device == "auto" else device,
        }
        of_kind: dict[str, dict[str, Any]] = {
            HEADS: {"max_epochs": max_epochs, "stack": stack, "ram_gib": ram, "device_memory_gib": device_memory},
            FINETUNE: {
                "speech_model": speech_model,
                "text_model": text_model,
                "speech_revision": revisions.get("speech"),
                "text_revision": revisions.get("text"),
                "epochs": epochs,
                "batch_seconds": batch_seconds,
                "checkpointing": checkpointing or None,
                "track": track,
            },
        }
        missing = {"allow_missing_segments": allow_missing_segments or None}
        refuse_other_options(kind, {o: {**v, **(missing if o == HEADS else {})} for o, v in of_kind.items() if o != kind})
        overrides = {option: value for option, value in (shared | of_kind[kind]).items() if value is not None}
        where = WhereItRuns(
            backend=backend,
            workers=workers,
            rank=shard_rank,
            world=shard_world,
            slurm=slurm,
            ray_address=ray_address,
            gpus_per_worker=gpus_per_worker,
            device=device,
            runs=runs,
        )
        if kind == HEADS:
            result: Any = head_grid(name, overrides, cache, where, quiet, allow_missing=allow_missing_segments)
        else:
            result = finetune_grid(name, overrides, corpus, where, quiet, weights=weights, resume=resume)
    if process_number():
        return
    print_grid(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def refuse_other_options(kind: str, others: "Mapping[str, Mapping[str, Any]]") -> None:
    """An option that says nothing about this kind of grid was given by mistake, and would be ignored."""
    # Encoders are named by the environment, too, for commands that need them.
    named_elsewhere = {"speech_model", "text_model"}
    for other, values in others.items():
        given = [option for option, value in values.items() if value is not None and option not in named_elsewhere]
        if given:
            option = {"ram_gib": "ram", "device_memory_gib": "device_memory"}.get(given[0], given[0]).replace("_", "-")
            option = "revision" if option.endswith("-revision") else option
            raise typer.BadParameter(f"is for grids of kind {other!r}; this one is of kind {kind!r}", param_hint=f"--{option}")


def print_grid(result: "GridResult[Any]", as_json: bool) -> None:
    """Print a finished grid as tables, or as JSON."""
    from mer.report.grid_table import grid_report

    data = {"directory": str(result.directory), **result.values}
    print_result(data, grid_report(data), as_json)


def print_presets(as_json: bool) -> None:
    """Print the grids that come with mer."""
    from mer.grids.finetune_grid import FINETUNE_GRIDS
    from mer.grids.grid_file import preset_names, read_grid_of
    from mer.grids.grid_kind import HEAD_GRIDS
    from mer.report.grid_table import preset_table

    grids: list[tuple[str, Grid[Any]]] = [
        (kind.name, read_grid_of(kind, name)) for kind in (HEAD_GRIDS, FINETUNE_GRIDS) for name in preset_names(kind.name)
    ]
    presets = [
        {
            "name": grid.name,
            "kind": kind,
            "title": grid.title,
            "paper": grid.paper,
            "rows": [row.name for row in grid.rows],
        }
        for kind, grid in grids
    ]
    print_result({"grids": presets}, preset_table(presets), as_json)
