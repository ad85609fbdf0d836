"""Heads of the user's own: found by `package.module:Class`, or registered, and what their class says about them."""

import hashlib
import inspect
import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from mer.heads.errors import HeadError
from mer.heads.kinds import HEADS, SHAPE_OPTIONS, HeadKind, HeadSource, Needs
from mer.settings import PluginError, UnknownEntryError, import_own

GIVEN = ("dims", "shapes", "classes", "generator", "softmax")
"""Arguments of a constructor that are no options: what a head is built with."""
FROM_TEXT: Mapping[type, Any] = {int: int, float: float, str: str}
"""Types of options beside `bool`, and what makes one out of a text."""


def head_kind(fusion: str) -> HeadKind:
    """What is known of a head.

    Args:
        fusion: a name in `HEADS`, or `package.module:Class`.

    Raises:
        HeadError: nobody has such a head, or its class does not say what it must.
    """
    try:
        return _imported(fusion) if ":" in fusion else HEADS[fusion]
    except UnknownEntryError as problem:
        raise HeadError(f"{problem}, or package.module:Class of a file of your own (docs/extending.md)") from None
    except PluginError as problem:
        raise HeadError(f"fusion {fusion!r}: {problem}") from None


@cache
def _imported(fusion: str) -> HeadKind:
    module, _, name = fusion.partition(":")
    found = getattr(import_own(module), name, None)
    if not isinstance(found, type):
        raise HeadError(f"fusion {fusion!r}: {module} has no class {name!r}; give package.module:Class")
    return head_of(found)


def head_of(head: type) -> HeadKind:
    """What a class of the user's own says about itself; `HEADS.add` takes it.

    Its constructor takes `dims` and `classes`; its other arguments are options: those that are called like the shape options of
    `HeadConfig` get their values, the others need a default and are set by `--head-options`. Attributes of the class:
    `learning_rate`, and where it does not fuse any granularities, `needs`.

    Raises:
        HeadError: an option without a default, or one of a type that cannot be given as text.
    """
    options = {name: each for name, each in inspect.signature(head).parameters.items() if name not in GIVEN}
    named = {name: each for name, each in options.items() if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}
    own = {name: each.default for name, each in named.items() if name not in SHAPE_OPTIONS}
    for name, default in own.items():
        if type(default) not in (bool, *FROM_TEXT):
            raise HeadError(f"{head.__qualname__}: its option {name!r} needs a default that is a bool, int, float or str")
    return HeadKind(
        implementation=head,
        learning_rate=getattr(head, "learning_rate", None),
        needs=Needs(getattr(head, "needs", Needs.ANY)),
        options=frozenset(named) & SHAPE_OPTIONS,
        own_options=own,
        # More than any head of ours: a stack that is too small costs time, one that is too large memory.
        copies=24,
        source=_source(head),
    )


def own_values(kind: HeadKind, given: Iterable[str]) -> dict[str, Any]:
    """Own options of a head that were given as `name=value`, as values of their types.

    Raises:
        HeadError: a head without such an option, or a value of another type; all problems at once.
    """
    found, problems = dict[str, Any](), []
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or name not in kind.own_options:
            near = get_close_matches(name, list(kind.own_options), n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = ", ".join(f"{option}={default}" for option, default in kind.own_options.items())
            problems.append(
                f"head_options {each!r}: {hint}expected name=value, with {known or 'a head that has options of its own'}"
            )
            continue
        if name in found:
            problems.append(f"head_options {name!r} is given twice")
        try:
            found[name] = _value(text, type(kind.own_options[name]))
        except ValueError:
            problems.append(f"head_options {each!r}: {name} must be a {type(kind.own_options[name]).__name__}")
    if problems:
        raise HeadError("; ".join(problems))
    return found


def _value(text: str, kind: type) -> Any:
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    value = FROM_TEXT[kind](text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _source(head: type) -> HeadSource:
    try:
        text = Path(inspect.getfile(head)).read_bytes()
    except (OSError, TypeError) as problem:
        raise HeadError(
            f"{head.__qualname__}: its source must be a file, so that results can say what it was: {problem}"
        ) from None
    return HeadSource(module=head.__module__, class_name=head.__qualname__, sha256=hashlib.sha256(text).hexdigest())
