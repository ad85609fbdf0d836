"""Options of a grid file: their names, and the values of TOML as the fields of a config want them."""

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mer.heads.grid import GridError

KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """The fields of one config as options of a grid file."""

    config: type
    """A frozen dataclass, such as `HeadConfig`."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Options that are called otherwise than their field."""

    def names(self) -> tuple[str, ...]:
        """Every option that a row can set, in the order of the fields."""
        own = {name: option for option, name in self.renamed.items()}
        return tuple(own.get(each.name, each.name) for each in dataclasses.fields(self.config))

    def field(self, option: str) -> str:
        """The field behind an option."""
        return self.renamed.get(option, option)

    def value(self, option: str, value: object) -> Any:
        """A value of a grid file as its field holds it.

        Args:
            option: one of `names()`.
            value: what the file says. `granularity` is `"F+S"`; `seeds` a count or a list; `folds` and `layers` are
                a list or a text such as `"1-5"`.

        Raises:
            GridError: a value of another type, saying which is expected.
        """
        match option:
            case "granularity":
                return parse_granularity(_checked(option, value, str))
            case "seeds" if _is(value, int):
                return tuple(range(_checked(option, value, int)))
            case "seeds":
                return _listed(option, value, (int,), "a count or a list such as [0, 1, 2]")
            case "layers" if isinstance(value, str):
                return tuple(int(each) for each in _ranges(option, value))
            case "layers":
                return _listed(option, value, (int,), 'a list such as [6, 7, 8] or a text such as "6-8"')
            case "folds" if isinstance(value, str):
                return _ranges(option, value)
            case "folds":
                listed = _listed(option, value, (int, str), 'a list such as ["1", "2"] or a text such as "1-5"')
                return tuple(str(each) for each in listed)
            case "head_options":
                return _listed(option, value, (str,), 'a list such as ["gate=tanh"]')
            case "aux_weights":
                return tuple(float(each) for each in _listed(option, value, (float,), "two numbers such as [1.0, 0.5]"))
            case _:
                return _checked(option, value, self._kind(option))

    def _kind(self, option: str) -> type:
        hint = get_type_hints(self.config)[self.field(option)]
        if get_origin(hint) in (Union, types.UnionType):
            hint = next(each for each in get_args(hint) if each is not types.NoneType)
        if get_origin(hint) is Literal:
            hint = type(get_args(hint)[0])
        return hint if hint in KINDS else str


def parse_granularity(text: str) -> tuple[str, ...]:
    """`F+S` as its parts."""
    return tuple(part.strip() for part in text.upper().split("+"))


def shown(value: object) -> str:
    """A value as a row's name shows it."""
    if isinstance(value, list):
        return ",".join(shown(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _checked(option: str, value: object, kind: type) -> Any:
    if not _is(value, kind):
        raise GridError(f"{option} must be {KINDS[kind]}, got {value!r}")
    return float(value) if kind is float and isinstance(value, int) else value


def _listed(option: str, value: object, kinds: tuple[type, ...], expected: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or not all(any(_is(each, kind) for kind in kinds) for each in value):
        raise GridError(f"{option} must be {expected}, got {value!r}")
    return tuple(value)


def _ranges(option: str, text: str) -> tuple[str, ...]:
    """`1-3,5` as `1`, `2`, `3`, `5`; a name stays as it is."""
    found: dict[str, None] = {}
    for part in text.split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        if dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last):
            found |= dict.fromkeys(str(number) for number in range(int(first), int(last) + 1))
        elif first and not dash and (first.isdecimal() or option == "folds"):
            found[first] = None
        else:
            raise GridError(f"{option} {text!r}: expected numbers and ranges such as 1-5 or 1,3-5")
    return tuple(found)
