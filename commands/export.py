"""`mer export`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mer.commands.console import clear_errors, print_result, say
from mer.commands.options import WHAT, WHERE, JsonOption, QuietOption
from mer.commands.predict import FoldsOption, RunArgument, RunSeedsOption


def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(help="New folder.")],
    fold: FoldsOption = None,
    seed: RunSeedsOption = None,
    encoders: Annotated[
        bool | None,
        typer.Option(
            "--encoders/--no-encoders",
            rich_help_panel=WHAT,
            help="Copy a head's frozen encoders. Default: where they came from a folder, not from the hub.",
        ),
    ] = None,
    speech_model: Annotated[
        str | None, typer.Option(envvar="MER_SPEECH_MODEL", rich_help_panel=WHERE, help="Folder of the run's speech encoder.")
    ] = None,
    text_model: Annotated[
        str | None, typer.Option(envvar="MER_TEXT_MODEL", rich_help_panel=WHERE, help="Folder of the run's text encoder.")
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
        from mer.settings.kinds import names_of, numbers_of

        done = export_run(
            run,
            folder,
            folds=names_of("--fold", fold) if fold else None,
            seeds=numbers_of("--seed", seed) if seed else None,
            with_encoders=encoders,
            speech_model=speech_model,
            text_model=text_model,
        )
    for remark in done.remarks:
        say(remark, quiet)
    held = "with" if done.encoders else "without"
    shown = f"{folder}: {len(done.runs)} runs, {held} encoders, {done.bytes / 1e6:.1f} MB. Next: mer predict {folder} --wav ..."
    print_result(dataclasses.asdict(done), shown, as_json)
    if not done.encoders:
        say("the encoders will be fetched from the hub; --encoders copies them", quiet)
