"""Modules of the user's own that add to the registries, imported once per process.

They are named by the environment variable `MER_PLUGINS`, and by `plugins` in `mer.toml`.
"""

import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

PLUGINS_VARIABLE = "MER_PLUGINS"
"""Environment variable: names of modules, separated by commas. Worker processes inherit it."""

_loaded: set[str] = set()


class PluginError(ValueError):
    """A module of the user's own that cannot be imported."""


def load_plugins() -> None:
    """Import the modules that `MER_PLUGINS` names, each once.

    Raises:
        PluginError: when one cannot be imported.
    """
    for name in filter(None, (each.strip() for each in os.environ.get(PLUGINS_VARIABLE, "").split(","))):
        if name not in _loaded:
            # Marked before it is imported: the module itself looks at the registries it adds to.
            _loaded.add(name)
            try:
                import_own(name)
            except PluginError as problem:
                _loaded.discard(name)
                raise PluginError(f"{PLUGINS_VARIABLE}: {problem}") from problem


def also_load(names: Iterable[str]) -> None:
    """Name modules for this process and those that it starts, beside those that `MER_PLUGINS` names."""
    known = filter(None, os.environ.get(PLUGINS_VARIABLE, "").split(","))
    os.environ[PLUGINS_VARIABLE] = ",".join(dict.fromkeys([*known, *names]))


def plugin_files() -> dict[str, Path | None]:
    """The modules of the user's own that are in force, and the file of each."""
    load_plugins()
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in sorted(_loaded)}
    return {name: Path(file) if file else None for name, file in files.items()}


def import_own(name: str) -> ModuleType:
    """Import a module of the user's own: the current directory counts, as it does for `python -m`.

    Raises:
        PluginError: when it is not found, or when its own code fails.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is not None and (name == problem.name or name.startswith(f"{problem.name}.")):
            where = f"{here} and the installed packages were searched"
            raise PluginError(f"no module named {name!r}: {where}; give the name as in an import, without .py") from None
        raise PluginError(f"{name} cannot be imported: {problem}") from problem
    except Exception as problem:
        raise PluginError(f"{name} cannot be imported: {type(problem).__name__}: {problem}") from problem
