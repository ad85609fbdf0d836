"""`mer grid`."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.commands.backend_options import AnyBackend
from mer.commands.command_line import ENCODERS, Given, flag, options_from
from mer.commands.console import clear_errors, print_result
from mer.commands.corpus_choice import HowTablesAreRead, revisions_by_encoder
from mer.commands.finetune import process_number
from mer.commands.grid_view import GridPlace, finetune_grid, head_grid
from mer.commands.options import JsonOption, QuietOption, RevisionOption
from mer.finetune.config import KEPT, FinetuneConfig
from mer.grids.grid_kind import FINETUNE, HEADS
from mer.heads.config import HeadConfig
from mer.settings.option import Option, option, options_of
from mer.settings.shared_options import cache_option, corpus_option, runs_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mer.grids.grid import Grid
    from mer.grids.grid_table import GridResult

ON_CACHE, TUNED = "Grids of heads on cached features", "Grids that are fine-tuned (sun2023)"


def for_all_rows(config: type, fields: Sequence[str], panel: str | None = None) -> dict[str, Option]:
    """Options of a config which, where they are given, go before what a grid says of its rows."""
    found = {}
    for field in fields:
        each = options_of(config)[field]
        unset = each.default is None or each.type is bool or field == "classes"  # which classes follows from the corpus
        shown = each.kind.show(each.default) if each.kind and not unset else each.default
        help = each.help if unset else f"{each.help} Default: what the grid says, else {shown}."
        default = False if each.type is bool else None
        found[field] = dataclasses.replace(each, default=default, help=help, panel=panel or each.panel)
    return found


OF_PROTOCOL = (
    *("classes", "drop_class", "min_per_class", "leave_out", "fold_count", "splits"),
    *("folds", "seeds", "validation", "text_disjoint"),
)
OF_ALL = for_all_rows(FinetuneConfig, (*OF_PROTOCOL, "device", "track"))
OF_KIND = {
    HEADS: for_all_rows(HeadConfig, ("max_epochs", "stack", "ram_gib", "device_memory_gib"), ON_CACHE),
    FINETUNE: for_all_rows(FinetuneConfig, ("speech_model", "text_model", "epochs", "batch_seconds", "checkpointing"), TUNED),
}
"""Options that say nothing about grids of the other kind."""


@dataclass(frozen=True, kw_only=True)
class GridFiles(HowTablesAreRead):
    """What a grid is trained on, and where it goes."""

    cache: Path = cache_option()
    corpus: Path | None = corpus_option()
    runs: Path = runs_option()


@dataclass(frozen=True, kw_only=True)
class GridExtras:
    """What is no field of the rows' configs."""

    allow_missing_segments: bool = option(
        False, "Train even where P, S or W has no units of its own and is one segment over the whole utterance."
    )
    resume: bool = option(True, "Go on from an interrupted run's checkpoint, or begin it anew.", panel=KEPT)
    weights: bool = option(True, "Keep every run's weights (base size: 0.8 GB).", panel=KEPT)


@options_from({**OF_ALL, **OF_KIND[HEADS], **OF_KIND[FINETUNE]})
def grid(
    *,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE", help="zhao2022-table1, -table2, -table3, sun2023-table1, -table2, or a TOML file."),
    ] = None,
    list_presets: Annotated[bool, typer.Option("--list", help="List the grids that come with mer.")] = False,
    files: GridFiles,
    given: Given,
    extras: GridExtras,
    revision: RevisionOption = None,
    backend: AnyBackend,
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
        kind = kind_of(name)
        revisions = {f"{encoder}_revision": each for encoder, each in revisions_by_encoder(revision or []).items()}
        chosen = {field: value for field, value in given.items() if value is not None and value is not False}
        of_one = {"revision": FINETUNE, "allow_missing_segments": HEADS}
        own = {flag(name): kind_of_it for name, kind_of_it in of_one.items() if name in given.typed}
        refuse_other_kind(kind, given.typed & chosen.keys(), own)
        overrides = revisions | {field: value for field, value in chosen.items() if field in OF_ALL or field in OF_KIND[kind]}
        place = GridPlace(backend=backend, device=given["device"] or "auto", runs=files.runs)
        if kind == HEADS:
            missing = extras.allow_missing_segments
            result: Any = head_grid(str(name), overrides, files.cache, place, quiet, allow_missing=missing)
        else:
            kept = {"weights": extras.weights, "resume": extras.resume}
            result = finetune_grid(str(name), overrides, files.corpus, files, place, quiet, **kept)
    if process_number():
        return
    print_grid(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def kind_of(name: str | None) -> str:
    """What the rows of the grid that is asked for are.

    Raises:
        GridError: no grid, or none that there is.
    """
    from mer.grids.grid import GridError
    from mer.grids.grid_file import kind_of_grid, preset_names

    if name is None:
        raise GridError(f"which grid? Give one of {', '.join(preset_names())}, or a TOML file; `mer grid --list` tells more")
    return kind_of_grid(name, (HEADS, FINETUNE))


def refuse_other_kind(kind: str, typed: Collection[str], own: Mapping[str, Any]) -> None:
    """An option that says nothing about this kind of grid was given by mistake, and would be ignored.

    What a settings file or the environment says holds for the grids that have the option.

    Args:
        kind: of the grid.
        typed: fields of options that stand on the command line.
        own: for those of them that are no fields, the kind of grid that they are for.
    """
    of_kind = [(flag(each.name), of) for of, options in OF_KIND.items() for field, each in options.items() if field in typed]
    # Scripts name encoders for all commands.
    elsewhere = {flag(each) for each in ENCODERS}
    for name, other in (*of_kind, *own.items()):
        if other != kind and name not in elsewhere:
            raise typer.BadParameter(f"is for grids of kind {other!r}; this one is of kind {kind!r}", param_hint=name)


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


def preset_table(presets: Sequence[Mapping[str, Any]]) -> "RenderableType":
    """One row a grid; without the room of reports, which would wait for numpy."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    table.add_column("grid", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("paper", overflow="fold")
    for preset in presets:
        table.add_row(preset["name"], str(len(preset["rows"])), escape(preset["title"]), escape(preset["paper"] or "-"))
    return Group(table, Text("A TOML file of your own works too: mer grid FILE (docs/grids.md).", style="dim"))
