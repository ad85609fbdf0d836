"""Reading `mer.toml` into the form that click takes defaults from."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mer.files.regular_file import read_text_file

FILE_NAME = "mer.toml"


class SettingsError(ValueError):
    """A settings file that cannot be used; all its faults are in the message."""


def read_settings(path: Path) -> dict[str, Any]:
    """Parse a settings file.

    Raises:
        SettingsError: when it is not there or no TOML.
    """
    import tomllib  # `mer --help` need not wait for it

    try:
        return tomllib.loads(read_text_file(path, "utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such settings file") from None
    except OSError as problem:
        raise SettingsError(f"{path}: cannot be read: {problem.strerror}") from None
    except (ValueError, RecursionError) as problem:  # no TOML, no UTF-8, a number of thousands of digits, deep nesting
        raise SettingsError(f"{path}: no valid TOML: {problem}") from None


def take_plugins(settings: dict[str, Any], *, source: str) -> list[str]:
    """Take the names of the user's own modules, `plugins`, out of a parsed file.

    Args:
        settings: Parsed file; `plugins` is gone from it afterwards.
        source: Named in errors.

    Raises:
        SettingsError: when they are no list of names.
    """
    names = settings.pop("plugins", [])
    if not isinstance(names, list) or not all(isinstance(each, str) and each.strip() for each in names):
        raise SettingsError(f'{source}: plugins must be a list of modules such as ["my_corpus"], got {names!r}')
    return names


def default_map(settings: Mapping[str, Any], options: Mapping[str, frozenset[str]], *, source: str) -> dict[str, Any]:
    """Defaults per command. Keys at the top hold for every command that has the option, `[extract]` for one.

    Args:
        settings: Parsed file; `speech-model` and `speech_model` are the same key.
        options: Option names (with underscores) of each command, `cache info` for a command of a group.
        source: Named in errors.

    Raises:
        SettingsError: listing every unknown command and option, with the nearest valid one.
    """
    shared = {_name(k): v for k, v in settings.items() if not isinstance(v, Mapping)}
    own = {k: {_name(o): v for o, v in table.items()} for k, table in settings.items() if isinstance(table, Mapping)}
    faults = [_unknown("option", key, frozenset().union(*options.values())) for key in shared]
    faults += [_unknown("command", command, frozenset(options)) for command in own]
    faults += [_unknown("option", key, options[c], c) for c, table in own.items() if c in options for key in table]
    if any(faults):
        raise SettingsError("\n".join([f"{source}:", *(f"  {fault}" for fault in faults if fault)]))
    nested: dict[str, Any] = {}
    for command, names in options.items():
        values = {k: v for k, v in shared.items() if k in names} | own.get(command, {})
        *groups, last = command.split()
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = values
    return nested


def _name(key: str) -> str:
    return key.replace("-", "_")


def _unknown(kind: str, key: str, valid: frozenset[str], command: str = "") -> str | None:
    if key in valid:
        return None
    near = get_close_matches(key, sorted(valid), n=1)
    where = f" in [{command}]" if command else ""
    return f"unknown {kind} {key!r}{where}" + (f" (did you mean {near[0]!r}?)" if near else "")
