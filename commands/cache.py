"""`mer cache info` and `mer cache verify`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mer.commands.command_group import Command
from mer.commands.console import clear_errors, print_result, progress_bar
from mer.commands.options import JsonOption, QuietOption

CacheArgument = Annotated[
    Path, typer.Argument(envvar="MER_CACHE", help="A cache or set of caches, or a folder that holds just one.")
]
app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def cache() -> None:
    """Look at a feature cache, and check it."""


@app.command("info", cls=Command)
def cache_info(
    cache: CacheArgument = Path("features"),
    as_json: JsonOption = False,
) -> None:
    """Show what a feature cache holds: utterances, units and bytes per granularity."""
    with clear_errors():
        from rich.console import Group

        from mer.cache import cache_info as read_info
        from mer.cache.cache_set import caches_at
        from mer.report import cache_table

        found = [read_info(each) for each in caches_at(cache)]
    print_result(found[0] if len(found) == 1 else {"caches": found}, Group(*map(cache_table, found)), as_json)


@app.command("verify", cls=Command)
def cache_verify(
    cache: CacheArgument = Path("features"),
    full: Annotated[
        bool, typer.Option("--full", help="Read every byte: checksums, structure, NaN. Otherwise sizes only.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check that a feature cache is whole; exit 1 and name the shards that are not."""
    with clear_errors():
        from rich.console import Group

        from mer.cache import verify
        from mer.cache.cache_set import caches_at
        from mer.report import verify_lines

        with progress_bar("verify", quiet or as_json) as bar:
            reports = [verify(each, full=full, progress=bar.update) for each in caches_at(cache)]
    data = [dataclasses.asdict(each) for each in reports]
    print_result(data[0] if len(data) == 1 else {"caches": data}, Group(*map(verify_lines, data)), as_json)
    if not all(each.ok for each in reports):
        raise typer.Exit(1)
