"""`mer cache info` and `mer cache verify`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mer.commands.console import clear_errors, print_result, progress_bar
from mer.commands.options import JsonOption, QuietOption

CacheArgument = Annotated[Path, typer.Argument(envvar="MER_CACHE", help="A cache, or a folder that holds just one.")]
app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def cache() -> None:
    """Look at a feature cache, and check it."""


@app.command("info")
def cache_info(
    cache: CacheArgument = Path("features"),
    as_json: JsonOption = False,
) -> None:
    """Show what a feature cache holds: utterances, units and bytes per granularity."""
    with clear_errors():
        from mer.cache import CacheFolder
        from mer.cache import cache_info as read_info
        from mer.report import cache_table

        info = read_info(CacheFolder.find(cache))
    print_result(info, cache_table(info), as_json)


@app.command("verify")
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
        from mer.cache import CacheFolder, verify
        from mer.report import verify_lines

        with progress_bar("verify", quiet or as_json) as bar:
            report = verify(CacheFolder.find(cache), full=full, progress=bar.update)
    data = dataclasses.asdict(report)
    print_result(data, verify_lines(data), as_json)
    if not report.ok:
        raise typer.Exit(1)
