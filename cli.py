"""The commands: each parses, calls one function, prints. Heavy imports stay inside them, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

import mer
from mer.commands.command_group import CommandGroup
from mer.commands.console import clear_errors
from mer.commands.defaults import read_defaults
from mer.commands.options import Context

app = typer.Typer(
    name="mer",
    cls=CommandGroup,
    help="Speech + text emotion recognition: frozen encoders run once, fusion heads train on their cached features.",
    epilog="New here? `mer demo` needs no corpus and no network. Results go to stdout, progress to stderr; exit codes: "
    "0 done, 1 ran and found a problem, 2 bad input.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def print_version(wanted: bool) -> bool:
    """Print the version and end, before the lack of a command is noticed."""
    if wanted:
        print(f"mer {mer.__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def settings(
    context: Context,
    config: Annotated[
        Path | None,
        typer.Option(envvar="MER_CONFIG", help="Settings file; ./mer.toml is read if it is there."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_version)] = False,
) -> None:
    """Read the defaults that a settings file gives."""
    from mer.files.shown_text import write_plainly
    from mer.settings import load_plugins

    write_plainly()
    with clear_errors():
        read_defaults(context, config)
        load_plugins()


if __name__ == "__main__":  # python -m mer.cli, as launchers of several processes start it
    app(prog_name="mer")
