"""Rooms whose names are imported when they are first asked for, so that help and refusals need not wait for PyTorch."""

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """A package that keeps a public name although a module of the same name is imported beneath it."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in _public_names(self.__name__)):
            super().__setattr__(name, value)


def lazy(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose `__init__.py` imports its public names `if TYPE_CHECKING:` only.

    Those imports are read from the file: a name is written once, and checkers see it as they always did.
    """
    sys.modules[package].__class__ = _Room

    def load(name: str) -> Any:
        home = _public_names(package).get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home), name)
        sys.modules[package].__dict__[name] = value
        return value

    return load


@cache
def _public_names(package: str) -> dict[str, str]:
    return public_names(Path(str(sys.modules[package].__file__)))


def public_names(file: Path) -> dict[str, str]:
    """Each name that the `__init__.py` of a room imports under its own name, and the module that it is imported from."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mer."))
    return {each.asname: str(node.module) for node in found for each in node.names if each.asname}
