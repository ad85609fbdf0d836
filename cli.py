"""The commands: each parses, calls one function, prints. Heavy imports stay inside them, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

import mer
from mer.commands.align import align
from mer.commands.cache import cache_info, cache_verify
from mer.commands.console import clear_errors
from mer.commands.defaults import read_defaults
from mer.commands.demo import demo
from mer.commands.doctor import doctor
from mer.commands.export import export
from mer.commands.extract import extract
from mer.commands.finetune import finetune
from mer.commands.grid import grid
from mer.commands.options import Context
from mer.commands.predict import predict
from mer.commands.report import report
from mer.commands.status import status
from mer.commands.synth import synth
from mer.commands.train_head import train_head

app = typer.Typer(
    name="mer",
    help="Speech + text emotion recognition: frozen encoders run once, fusion heads train on their cached features.",
    epilog="New here? `mer demo` needs no corpus and no network. Results go to stdout, progress to stderr; exit codes: "
    "0 done, 1 ran and found a problem, 2 bad input.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for command in (demo, align, extract, train_head, grid, finetune, predict, export, report, status, synth, doctor):
    app.command()(command)
cache_app = typer.Typer(help="Look at a feature cache, and check it.", no_args_is_help=True)
cache_app.command("info")(cache_info)
cache_app.command("verify")(cache_verify)
app.add_typer(cache_app, name="cache")


@app.callback()
def settings(
    context: Context,
    config: Annotated[
        Path | None,
        typer.Option(envvar="MER_CONFIG", help="Settings file; ./mer.toml is read if it is there."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Read the defaults that a settings file gives."""
    if version:
        print(f"mer {mer.__version__}")
        raise typer.Exit
    from mer.settings import load_plugins

    with clear_errors():
        read_defaults(context, config)
        load_plugins()


if __name__ == "__main__":  # python -m mer.cli, as launchers of several processes start it
    app(prog_name="mer")
