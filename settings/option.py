"""An option, declared once as a field of a frozen config: command line, files, help, docs and identity read it here."""

import dataclasses
import math
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mer.settings.kinds import Kind, KindError, checked
from mer.settings.registry import Registry

WHERE, WHAT, HOW, SAID = "Where things are", "What is done", "How it is done", "What is printed"
"""Headings above options in help."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is known of one option beside its field's name, type and default."""

    name: str
    """How users call it, with underscores: the key in files; the command line has hyphens."""
    type: type
    """What a plain value is: bool, int, float, str or Path."""
    default: Any
    """The field's default."""
    help: str
    """What it does, as help and documentation say it."""
    panel: str | None = HOW
    """Heading above it in help; None is the first, which is that of every command."""
    env: str | None = None
    """Environment variable that sets it on the command line."""
    least: float | None = None
    """Smallest valid number."""
    most: float | None = None
    """Largest valid number: more is a slip, or a file that is to use up the memory."""
    above: float | None = None
    """Valid numbers are larger than this."""
    below: float | None = None
    """Valid numbers are smaller than this."""
    choices: Collection[str] = ()
    """Valid words, where there is a list; a registry is one, too."""
    also: tuple[str, ...] = ()
    """Valid words beside these, such as those of the command line alone."""
    own_class: bool = False
    """Whether `package.module:Name`, a class of the user's own, is a value, too."""
    own_file: str = ""
    """Ending of files of the user's own whose path is a value, too."""
    kind: Kind | None = None
    """How it is written, unless it is a plain value."""
    was: tuple[str, ...] = ()
    """Names of earlier versions, which still work."""
    identity: bool = True
    """Whether it can change a number, and so tells one run from another."""
    noted: bool = True
    """Whether a result says it: what is told besides, and to whom, does not belong to it."""
    later: bool = False
    """Whether it came when there were results already: while it holds its default, documents and identities leave it out."""
    many: bool = False
    """Whether it may be repeated: a tuple of plain values."""
    metavar: str | None = None
    """What help writes for a value, unless it is the choices or the type."""
    short: str | None = None
    """One letter for it, with its hyphen."""

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

    def word(self, value: str) -> str:
        """The value, if it is valid; raises KindError."""
        own = (self.own_class and ":" in value) or (self.own_file and value.endswith(self.own_file))
        return value if own else one_of(self.name, value, self.words)

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value of the field, from what the declaration says; None for nothing."""
        if self.choices and not self.own_class:  # whoever imports a class refuses by itself, and knows more
            try:
                self.word(value)
            except KindError as problem:
                return str(problem)
        if self.type in (int, float) and not self.kind and not self._is_number(value):
            return f"{self.name} must {self._bounds()}, got {value}"
        return None

    def _is_number(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def _bounds(self) -> str:
        if self.below is not None:
            return f"lie in [{self.least}, {self.below})" if self.above is None else f"lie between {self.above} and {self.below}"
        if self.most is not None:
            return f"lie in [{self.least}, {self.most}]"
        if self.above is not None:
            return "be positive" if self.above == 0 else f"be more than {self.above}"
        return "be a number" if self.least is None else f"be {self.least} or more"


def option(default: Any, help: str, **about: Any) -> Any:
    """A field of a config that is an option; `about` holds fields of `Option`, `name` where it is not the field's."""
    return dataclasses.field(default=default, metadata={"help": help, **about})


@cache
def options_of(config: type) -> Mapping[str, Option]:
    """The option of each field of a config, in their order."""
    hints = get_type_hints(config)
    return {
        each.name: Option(
            **{"name": each.name, "many": _many(hints[each.name], each.metadata), **each.metadata},
            type=_plain(hints[each.name]),
            default=each.default,
        )
        for each in dataclasses.fields(config)
        if "help" in each.metadata
    }


def problems_of(config: Any) -> Iterator[str]:
    """What is wrong with the fields of a config by their declarations alone; one that holds its default is right."""
    kind: type = type(config)
    for field, each in options_of(kind).items():
        value = getattr(config, field)
        problem = None if value == each.default else each.problem(value)
        if problem:
            yield problem


def number_free(config: type) -> frozenset[str]:
    """Fields that change no number, or rounding only, and are no part of an identity."""
    return frozenset(field for field, each in options_of(config).items() if not each.identity)


def unsaid(config: Any) -> frozenset[str]:
    """Fields that no result says, and those that came later and hold their default: without them it is one of before."""
    kind: type = type(config)
    return frozenset(field for field, each in options_of(kind).items() if not each.noted or _is_of_before(config, field, each))


def _is_of_before(config: Any, field: str, each: Option) -> bool:
    return bool(each.later and getattr(config, field) == each.default)


def one_of(name: str, value: str, valid: Sequence[str]) -> str:
    """The value, if it is one of the valid words.

    Raises:
        KindError: with the nearest, and all.
    """
    if value in valid:
        return value
    raise KindError(f"unknown {name} {value!r}{nearest(value, valid)}: expected one of {', '.join(valid)}")


def nearest(value: str, valid: Sequence[str]) -> str:
    """What a message about a word that is not valid says of the nearest one; nothing where none is near."""
    from difflib import get_close_matches  # help need not wait for it

    near = get_close_matches(value, list(valid), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def by_name(options: Mapping[str, Option]) -> dict[str, str]:
    """The field behind each name, names of earlier versions last."""
    now = {each.name: field for field, each in options.items()}
    return now | {old: field for field, each in options.items() for old in each.was}


def _plain(hint: Any) -> type:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(each for each in get_args(hint) if each is not types.NoneType)
    if get_origin(hint) is tuple and Path in get_args(hint):
        hint = Path
    if get_origin(hint) is Literal:
        hint = type(get_args(hint)[0])
    return hint if hint in (bool, int, float, Path) else str


def _many(hint: Any, about: Mapping[str, Any]) -> bool:
    return get_origin(hint) is tuple and "kind" not in about
