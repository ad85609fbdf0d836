"""`mer verify`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mer.commands.console import clear_errors, print_result
from mer.commands.options import JsonOption


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Feature caches, run directories, grids, exports, or folders of them."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Read every byte that a later number depends on, and compare it with what was written.

    Weights, predictions, logits, metrics and configs of results, exports with their encoders, shards of caches. Nothing is
    changed. What is damaged is named with what helps, and the exit code is 1.
    """
    with clear_errors("only the look at it has ended"):
        from mer.report import whole_lines
        from mer.status.verified import check_places

        found = [asdict(each) for each in check_places(paths)]
    print_result({"checked": found}, whole_lines(found), as_json)
    if any(each["problems"] for each in found):
        raise typer.Exit(1)
