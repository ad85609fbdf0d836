"""An option, declared once as a field of a frozen config: command line, files, help, docs and identity read it here."""

import dataclasses
import types
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mer.settings.kinds import Kind, KindError, checked
from mer.settings.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is known of one option beside its field's name, type and default."""

    name: str
    """How users call it, with underscores: the key in files; the command line has hyphens."""
    type: type
    """What a plain value is: bool, int, float or str."""
    default: Any
    """The field's default."""
    help: str
    """What it does, as help and documentation say it."""
    panel: str = "How it is done"
    """Heading above it in help."""
    env: str | None = None
    """Environment variable that sets it on the command line."""
    least: float | None = None
    """Smallest valid number."""
    choices: Collection[str] = ()
    """Valid words, where there is a list; a registry is one, too."""
    also: tuple[str, ...] = ()
    """Words beside these that the command line alone knows."""
    kind: Kind | None = None
    """How it is written, unless it is a plain value."""
    was: tuple[str, ...] = ()
    """Names of earlier versions, which still work."""
    identity: bool = True
    """Whether it can change a number, and so tells one run from another."""

    @property
    def words(self) -> tuple[str, ...]:
        """Valid words, those that modules of the user's own have added included; importing those may raise PluginError."""
        return (*self.choices, *self.also)

    @property
    def usual_words(self) -> tuple[str, ...]:
        """Valid words without what modules of the user's own add: help is there before they are imported."""
        known = self.choices.added if isinstance(self.choices, Registry) else self.choices
        return (*known, *self.also)

    def read(self, value: object) -> Any:
        """A value of a TOML file as the field holds it; raises KindError."""
        return self.kind.read(self.name, value) if self.kind else checked(self.name, value, self.type)


def option(default: Any, help: str, **about: Any) -> Any:
    """A field of a config that is an option; `about` holds fields of `Option`, `name` where it is not the field's."""
    return dataclasses.field(default=default, metadata={"help": help, **about})


def options_of(config: type) -> dict[str, Option]:
    """The option of each field of a config, in their order."""
    hints = get_type_hints(config)
    return {
        each.name: Option(**{"name": each.name, **each.metadata}, type=_plain(hints[each.name]), default=each.default)
        for each in dataclasses.fields(config)
        if "help" in each.metadata
    }


def number_free(config: type) -> frozenset[str]:
    """Fields that change no number, or rounding only, and are no part of an identity."""
    return frozenset(field for field, each in options_of(config).items() if not each.identity)


def one_of(name: str, value: str, valid: Sequence[str]) -> str:
    """The value, if it is one of the valid words; a class `package.module:Name` is for the config to find.

    Raises:
        KindError: with the nearest, and all.
    """
    if value in valid or ":" in value:
        return value
    near = get_close_matches(value, list(valid), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise KindError(f"unknown {name} {value!r}{hint}: expected one of {', '.join(valid)}")


def by_name(options: Mapping[str, Option]) -> dict[str, str]:
    """The field behind each name, names of earlier versions last."""
    now = {each.name: field for field, each in options.items()}
    return now | {old: field for field, each in options.items() for old in each.was}


def _plain(hint: Any) -> type:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(each for each in get_args(hint) if each is not types.NoneType)
    if get_origin(hint) is Literal:
        hint = type(get_args(hint)[0])
    return hint if hint in (bool, int, float) else str
