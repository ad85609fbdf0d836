"""`mer status`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.commands.console import clear_errors, is_terminal, looks, print_result, show_live
from mer.commands.options import HOW, CacheOption, JsonOption, RunsOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mer.status import Overview, StatusReader


def status(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH...",
            help="Caches, run directories, grids, folders of `mer align`, or folders of them. Default: --cache and --runs.",
        ),
    ] = None,
    cache: CacheOption = Path("features"),
    runs: RunsOption = Path("runs"),
    watch: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.1, rich_help_panel=HOW, help="Look again and again, until Ctrl-C."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far extractions, alignments and trainings are, from the files that they have written.

    Works while they run, and from any machine that sees the files. A shard or run that was given up is listed with its reason,
    and the exit code is 1. Nothing is changed.
    """
    with clear_errors("only the look at it has ended"):
        from mer.status import StatusReader

        places = tuple(paths or (cache, runs))
        reader = StatusReader(places=places, caches=cache, required=bool(paths))
        if watch is not None:
            follow(reader, watch, as_json)
            return
        now = time.time()
        found = reader.read(now)
        show(found, now, as_json)
    if found.failed:
        raise typer.Exit(1)


def show(found: "Overview", now: float, as_json: bool) -> None:
    """One look to standard output."""
    from mer.status import status_view

    print_result(found.as_dict(), status_view(found, now), as_json)


def follow(reader: "StatusReader", seconds: float, as_json: bool) -> None:
    """One look after the other, in place on a terminal; where nothing is yet, something may come."""
    from mer.status import StatusError

    def look() -> "tuple[Overview | None, float]":
        now = time.time()
        try:
            return reader.read(now), now
        except StatusError:
            return None, now

    if is_terminal() and not as_json:
        show_live(picture(reader, *each) for each in looks(look, seconds))
        return
    for found, now in looks(look, seconds):
        if found is not None:
            show(found, now, as_json)


def picture(reader: "StatusReader", found: "Overview | None", now: float) -> "RenderableType":
    """What a look shows."""
    from rich.text import Text

    from mer.status import status_view

    if found is None:
        return Text(f"nothing yet in {' and '.join(map(str, reader.places))}")
    return status_view(found, now)
