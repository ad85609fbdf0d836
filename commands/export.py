"""`mer export`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.commands.command_line import options_from
from mer.commands.console import clear_errors, print_result, say
from mer.commands.options import JsonOption, QuietOption
from mer.commands.predict import RunArgument, WhichRuns
from mer.settings.option import WHAT, option

if TYPE_CHECKING:
    from mer.predict import Exported, Pushed

VISIBILITY = {"private": True, "public": False}
"""Words of the command line for who sees a repository: whether only its owners do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WhatIsWritten:
    """What an export holds, and where else it goes."""

    encoders: bool | None = option(
        None, "Copy a head's frozen encoders. Default: where they came from a folder, not from the hub.", panel=WHAT
    )
    license: str | None = option(
        None,
        "Licence for the model card, as the Hugging Face hub calls it, such as cc-by-nc-4.0. Default: unknown.",
        panel=WHAT,
    )
    push: str | None = option(
        None,
        "Also upload the folder to the Hugging Face hub under this name, with the token in HF_TOKEN.",
        panel=WHAT,
        metavar="OWNER/NAME",
    )
    visibility: str | None = option(
        None,
        "Who sees it there. Default: a new repository is private, and one that is there stays as it is.",
        choices=VISIBILITY,
        panel=WHAT,
    )


@options_from()
def export(
    run: RunArgument,
    which: WhichRuns,
    what: WhatIsWritten,
    folder: Annotated[
        Path | None,
        typer.Argument(help="New folder. Left out with --push where RUN is such a folder already: it is uploaded as it is."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a trained run as a folder that `mer predict` reads on another machine: weights, config, model card.

    No cache and no corpus is needed there. The files are named as the Hugging Face hub has them, and --push puts them
    there; the model card says what was trained on what, how well it did, and what it must not be taken for.
    """
    if folder is None:
        refuse_without_folder(which, what)
    if what.push is None and what.visibility is not None:
        raise typer.BadParameter("it is of what is uploaded; give --push OWNER/NAME, too", param_hint="--visibility")
    done, pushed = None, None
    if folder is not None:
        with clear_errors(f"nothing was written to {folder}"):
            done = write_export(run, folder, which, what, quiet)
    if what.push is not None:
        with clear_errors("nothing was uploaded"):
            from mer.predict import push_to_hub

            pushed = push_to_hub(folder or run, what.push, private=VISIBILITY.get(what.visibility or ""))
    data: dict[str, Any] = {} if done is None else dataclasses.asdict(done)
    data |= {} if pushed is None else {"pushed": dataclasses.asdict(pushed)}
    print_result(data, "\n".join(told(done, pushed)), as_json)
    if done is not None and not done.encoders:
        say("the encoders will be fetched from the hub; --encoders copies them", quiet)


def refuse_without_folder(which: WhichRuns, what: WhatIsWritten) -> None:
    """Refuse what needs a new folder where none is given.

    Raises:
        typer.BadParameter: nothing would be done, or an option would do nothing.
    """
    if what.push is None:
        raise typer.BadParameter("give a new folder for the export", param_hint="FOLDER")
    typed: dict[str, Any] = {"--fold": which.fold, "--seed": which.seed, "--revision": which.revision}
    typed |= {"--encoders": what.encoders, "--license": what.license}
    if ignored := [name for name, value in typed.items() if value is not None]:
        raise typer.BadParameter(
            f"{ignored[0]} is for a new export, and --push without a folder uploads RUN as it is; give a new folder, too",
            param_hint="FOLDER",
        )


def write_export(run: Path, folder: Path, which: WhichRuns, what: WhatIsWritten, quiet: bool) -> "Exported":
    """The export, written; arguments as those of the command."""
    from mer.predict import export_run

    done = export_run(
        run,
        folder,
        revision=which.revision,
        folds=which.fold,
        seeds=which.seed,
        with_encoders=what.encoders,
        **which.encoders,
        **({} if what.license is None else {"license": what.license}),
    )
    for remark in done.remarks:
        say(remark, quiet)
    if what.push is not None:
        say(f"{folder} is written, and is uploaded now", quiet)
    return done


def told(done: "Exported | None", pushed: "Pushed | None") -> list[str]:
    """What was written and where it was uploaded to, a line each."""
    lines = []
    if done is not None:
        held = "with" if done.encoders else "without"
        size = f"{len(done.runs)} runs, {held} encoders, {done.bytes / 1e6:.1f} MB"
        lines.append(f"{done.folder}: {size}. Next: mer predict {done.folder} --wav ...")
    if pushed is not None:
        name, _, commit = pushed.origin.partition("@")
        seen = "private" if pushed.private else "public"
        lines.append(f"{pushed.url}: {pushed.files} files, {seen}. Next: mer predict {name} --revision {commit} --wav ...")
    return lines
