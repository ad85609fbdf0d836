"""The commands: each parses, calls one function, prints."""

import typer

app = typer.Typer(name="mer")
