"""Where the value of an option comes from: command line, environment, settings file, built-in default."""

import os
from pathlib import Path
from typing import Any

from mer.commands.options import Context

SETTINGS = "mer.settings"


def read_defaults(context: Context, config: Path | None) -> None:
    """Take defaults and names of the user's own modules from a settings file; `./mer.toml` if none is given and there is one."""
    from mer.settings import FILE_NAME, also_load, default_map, read_settings, take_plugins

    path = config or (Path(FILE_NAME) if Path(FILE_NAME).is_file() else None)
    if path is not None:
        settings = read_settings(path)
        also_load(take_plugins(settings, source=str(path)))
        context.default_map = default_map(settings, command_options(context.command), source=str(path))
        _list_repeatable(context.default_map, context.command)
        context.meta[SETTINGS] = str(path)


def _list_repeatable(values: dict[str, Any], group: Any) -> None:
    """One text for an option that may be repeated is a list of one: click would take it for a list of letters."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            _list_repeatable(values.get(name, {}), command)
            continue
        place = values.get(name, {})
        for parameter in command.params:
            if getattr(parameter, "multiple", False) and isinstance(place.get(parameter.name), str):
                place[parameter.name] = [place[parameter.name]]


def command_options(group: Any, prefix: str = "") -> dict[str, frozenset[str]]:
    """Option names of every command, groups included: `cache info` -> {cache, json}."""
    found: dict[str, frozenset[str]] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= command_options(command, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = frozenset(parameter.name for parameter in command.params)
    return found


def settings_in_force(context: Context) -> list[dict[str, str]]:
    """Every default that an environment variable or the settings file replaces, and where it came from."""
    root = context.find_root()
    rows = []
    for command, names in command_options(root.command).items():
        place: Any = root.default_map or {}
        group: Any = root.command
        for part in command.split():
            place, group = place.get(part, {}), group.commands[part]
        for parameter in group.params:
            variable = parameter.envvar if isinstance(parameter.envvar, str) else None
            if variable and os.environ.get(variable):
                source, value = f"environment {variable}", os.environ[variable]
            elif parameter.name in names & place.keys():
                source, value = str(context.meta.get(SETTINGS)), str(place[parameter.name])
            else:
                continue
            rows.append({"command": command, "option": parameter.name, "value": value, "source": source})
    return rows
