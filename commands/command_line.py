"""Options of a command out of the fields of a config: each is declared there, and typed nowhere else."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from mer.commands.console import clear_errors
from mer.commands.options import Context
from mer.settings.kinds import KindError
from mer.settings.option import Option, options_of

ENCODERS = ("speech_model", "text_model", "speech_revision", "text_revision")
"""Fields that scripts set for every command alike."""

WIDEST = 18
"""Letters of the valid words of an option beside its help, in a terminal of 80 columns."""


class Given(dict[str, Any]):
    """Values of the fields of a config, as the command line, the environment and the settings file give them."""

    typed: frozenset[str] = frozenset()
    """Options that were typed on the command line: the field of each, or the parameter's name where it is no field."""


def options_from(
    config: type | Mapping[str, Option] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    more: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of configs: of this one, and of each that is the type of one of its parameters.

    Args:
        config: a dataclass whose fields are declared with `option`, or such options by field. The command's parameter of type
            `Given` takes their values; they may be no valid config yet.
        defaults: fields whose default is another on the command line.
        more: words that a field can have on the command line only.
    """
    taken = options_of(config) if isinstance(config, type) else config or {}
    options = {
        field: dataclasses.replace(
            each, default=(defaults or {}).get(field, each.default), also=(more or {}).get(field, each.also)
        )
        for field, each in taken.items()
    }

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        own = inspect.signature(command).parameters
        groups = {name: options_of(hints[name]) for name in own if dataclasses.is_dataclass(hints[name])}
        groups |= {name: options for name in own if hints[name] is Given}

        @functools.wraps(command)
        def run(context: Any, **values: Any) -> None:
            with clear_errors():
                given = {name: _given(context, group, values) for name, group in groups.items()}
                made = {name: each if hints[name] is Given else hints[name](**each) for name, each in given.items()}
            command(**{name: values[name] for name in own if name not in made}, **made)

        parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=Context)]
        for name, each in own.items():
            plain = each.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            parameters += _parameters(groups[name]) if name in groups else [plain]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def repeatable(option: Option) -> Option:
    """An option of one text as one that may be given several times on the command line.

    In an environment variable, several are parted as the folders of PATH are.
    """
    help = f"{option.help} Given several times for several, with a name before each: NAME=DIR."
    return dataclasses.replace(option, help=help, many=True, type=Path, default=(option.default,), metavar="<str>")


def refuse_ignored(given: Given, config: type, used: Collection[str], why: str) -> None:
    """Refuse a typed option that would change nothing; of an encoder, which scripts name for all commands, say so.

    Args:
        given: what the command took.
        config: whose fields they are.
        used: fields that the chosen model looks at.
        why: what looks at no other, in the words of an error.
    """
    for field, each in options_of(config).items():
        if field not in given.typed or not each.identity or field in used:
            continue
        if field in ENCODERS:
            typer.echo(f"note: {flag(each.name)} is not used: {why} has no such encoder", err=True)
        else:
            raise typer.BadParameter(f"{why} does not use it: leave it out", param_hint=flag(each.name))


def _given(context: Any, options: Mapping[str, Option], values: Mapping[str, Any]) -> Given:
    """The values by field; one that was given under a name of an earlier version, with a hint."""
    given = Given()
    typed = {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"} - {*options}
    for field, each in options.items():
        given[field] = values[each.name]
        for name in (each.name, *each.was):
            source = context.get_parameter_source(name).name
            if name != each.name and source not in {"DEFAULT", "ENVIRONMENT"}:
                typer.echo(f"note: {flag(name)} is called {flag(each.name)} now; the old name goes away", err=True)
                given[field] = values[name]
            if source == "COMMANDLINE":
                typed.add(field)
        if each.many:
            given[field] = tuple(given[field] or ())
    given.typed = frozenset(typed)
    return given


def _parameters(options: Mapping[str, Option]) -> list[inspect.Parameter]:
    """Options as parameters that typer reads, names of earlier versions last."""
    return [_parameter(each) for each in options.values()] + [_parameter(e, old) for e in options.values() for old in e.was]


def _parameter(option: Option, old: str | None = None) -> inspect.Parameter:
    """The option as a parameter that typer reads; under a name of earlier versions, hidden."""
    name = old or option.name
    default, kind = option.default if not option.many else list(option.default or ()) or None, option.type
    about: dict[str, Any] = {"help": told(option), "rich_help_panel": option.panel, "hidden": old is not None}
    about |= {
        "min": option.least if option.below is None else None,
        "max": option.most,
        "envvar": None if old else option.env,
        "metavar": option.metavar,
    }
    if option.kind or option.usual_words:
        kind, about["parser"] = str, _parser(option)
    if option.kind and default is not None:
        default = option.kind.show(default)
    elif option.type in (int, float):
        about["metavar"] = f"<{option.type.__name__}>"
    if option.usual_words:
        about |= {"metavar": _words(option), "autocompletion": lambda: list(option.words)}
    both = default is True or (option.type is bool and default is None)
    flags = [f"{flag(name)}/--no-{flag(name)[2:]}" if both else flag(name), *([option.short] if option.short else [])]
    hint: Any = list[kind] if option.many else kind  # type: ignore[valid-type]
    annotation: Any = Annotated[hint if default is not None else hint | None, typer.Option(*flags, **about)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def told(option: Option) -> str:
    """Its help, with the valid words where they are neither in it nor beside it."""
    if all(word in option.help for word in option.usual_words) or _words(option) != "<word>":
        return option.help
    return f"{option.help} One of {', '.join(option.usual_words)}."


def _words(option: Option) -> str:
    """The valid words, where they fit beside the help."""
    shown = f"[{'|'.join(option.usual_words)}]"
    return shown if len(shown) <= WIDEST else "<word>"


def _parser(option: Option) -> Callable[[Any], Any]:
    """What typer calls with a text of the command line, or a value of the settings file."""

    def parse(value: Any) -> Any:
        try:
            return option.read(value) if option.kind else option.word(str(value))
        except KindError as problem:
            raise typer.BadParameter(str(problem)) from None

    return parse


def flag(name: str) -> str:
    """How the command line writes the name of an option."""
    return f"--{name.replace('_', '-')}"
