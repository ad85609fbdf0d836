"""`mer export`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mer.commands.command_line import options_from
from mer.commands.console import clear_errors, print_result, say
from mer.commands.options import WHAT, JsonOption, QuietOption
from mer.commands.predict import RunArgument, WhichRuns


@options_from()
def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(help="New folder.")],
    which: WhichRuns,
    encoders: Annotated[
        bool | None,
        typer.Option(
            "--encoders/--no-encoders",
            rich_help_panel=WHAT,
            help="Copy a head's frozen encoders. Default: where they came from a folder, not from the hub.",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a trained run as a folder that `mer predict` reads on another machine: weights, config, model card.

    No cache and no corpus is needed there. The files are named as the Hugging Face hub has them; the model card
    says what was trained on what, how well it did, and what it must not be taken for.
    """
    with clear_errors(f"nothing was written to {folder}"):
        from mer.predict import export_run

        done = export_run(
            run,
            folder,
            folds=which.fold,
            seeds=which.seed,
            with_encoders=encoders,
            **which.encoders,
        )
    for remark in done.remarks:
        say(remark, quiet)
    held = "with" if done.encoders else "without"
    shown = f"{folder}: {len(done.runs)} runs, {held} encoders, {done.bytes / 1e6:.1f} MB. Next: mer predict {folder} --wav ..."
    print_result(dataclasses.asdict(done), shown, as_json)
    if not done.encoders:
        say("the encoders will be fetched from the hub; --encoders copies them", quiet)
