"""Values that nobody typed: an error about one says where it comes from, and `~` in one is the home folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.commands.defaults import SETTINGS


@dataclass(frozen=True, kw_only=True)
class GivenElsewhere:
    """One value of the command that runs."""

    option: str
    """As the command line writes it."""
    value: str
    """As it was given."""
    source: str
    """The environment variable or the settings file."""


of_this_command: list[GivenElsewhere] = []
"""Those of the command that runs."""


def note_values(context: Any) -> None:
    """Remember which values of a command come from the environment or the settings file."""
    of_this_command[:] = _found(context)


def explanation(message: str) -> str:
    """What is added to an error that names such a value; nothing to any other."""
    named = [each for each in of_this_command if each.value in message]
    return "".join(f"\n{each.option} is {each.value} by {each.source}" for each in named)


def at_home(value: Any) -> Any:
    """A path, or paths, with `~` as the home folder: a shell leaves it as it is in quotes, in variables and in files.

    So does `name=~/encoder`. A text that may be a folder, a hub id or a sentence is changed only where there is something.
    """
    if isinstance(value, list | tuple):
        return type(value)(map(at_home, value))
    if not isinstance(value, Path | str):
        return value
    name, equals, place = str(value).rpartition("=")
    if not place.startswith("~"):
        return value
    try:
        found = Path(place).expanduser()
    except RuntimeError:  # nobody of that name has a home here
        return value
    sure = isinstance(value, Path) and not equals
    return type(value)(f"{name}{equals}{found}") if sure or found.exists() else value


def _found(context: Any) -> Iterator[GivenElsewhere]:
    for each in context.command.params:
        source, value = context.get_parameter_source(each.name), context.params.get(each.name)
        sources = {"ENVIRONMENT": f"the environment variable {each.envvar}", "DEFAULT_MAP": context.meta.get(SETTINGS)}
        place = sources.get(source.name) if source is not None else None
        for part in value if isinstance(value, list | tuple) else [value]:
            # Short ones would be found in any message.
            if place and len(text := str(part)) > 2:
                yield GivenElsewhere(option=max(each.opts, key=len), value=text, source=place)
