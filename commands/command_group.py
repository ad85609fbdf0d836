"""The commands of `mer`, each imported when it is called: help and refusals need not wait for the others."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mer.commands.given_elsewhere import at_home, note_values
from mer.settings.option import SAID

NAMES = (
    *("demo", "align", "extract", "train-head", "grid", "finetune"),
    *("predict", "evaluate", "combine", "export", "report", "status", "synth", "doctor", "verify", "cache"),
)
"""In the order of help. Each is a function, and a module of this folder, of the same name."""


class PlainHelp:
    """Help that names no type of what takes no value: `--json`, not `--json <bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options, `--help` last."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in params:
            if getattr(each, "is_flag", False):
                each.metavar = ""
        return params


class Command(PlainHelp, TyperCommand):
    """A command; its help ends with what is printed."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options in the order of help."""
        params = super().get_params(ctx)
        for each in params:
            if each.name == "help":
                each.rich_help_panel = SAID
        return sorted(params, key=lambda each: getattr(each, "rich_help_panel", None) == SAID)

    def invoke(self, ctx: Any) -> Any:
        """Run it, with `~` as the home folder wherever a path comes from."""
        ctx.params = {name: at_home(value) for name, value in ctx.params.items()}
        note_values(ctx)
        return super().invoke(ctx)


class CommandGroup(PlainHelp, TyperGroup):
    """Commands by name, without importing those that are not called."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        self.commands: Any = Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of help."""
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Help of all, from what their files say of them."""
        loaded, self.commands = self.commands, {name: TyperCommand(name, help=summary(name)) for name in self.commands}
        try:
            super().format_help(ctx, formatter)
        finally:
            self.commands = loaded


class Commands(Mapping[str, Any]):
    """Every command, imported when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in NAMES:
            raise KeyError(name)
        return load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


@cache
def load(name: str) -> Any:
    """The command of this name: the `app` of its module, if it is a group, else its function."""
    module = import_module(f"mer.commands.{name.replace('-', '_')}")
    if not hasattr(module, "app"):
        module.app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)  # type: ignore[attr-defined]
        module.app.command(name, cls=Command)(getattr(module, name.replace("-", "_")))
    command = get_command(module.app)
    command.name = name
    return command


def summary(name: str) -> str:
    """The first paragraph of the docstring of a command, read from its file."""
    function = name.replace("-", "_")
    text = Path(__file__).with_name(f"{function}.py").read_text(encoding="utf-8")
    found = re.search(rf'^def {function}\(.*?^    """(.*?)(\n\n|""")', text, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""
