"""Options of a command out of the fields of a config: each is declared there, and typed nowhere else."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, get_type_hints

import typer

from mer.commands.options import Context
from mer.settings.kinds import Kind, KindError
from mer.settings.option import Option, one_of, options_of

ENCODERS = ("speech_model", "text_model", "speech_revision", "text_revision")
"""Fields that scripts set for every command alike."""


class Given(dict[str, Any]):
    """Values of the fields of a config, as the command line, the environment and the settings file give them."""

    typed: frozenset[str] = frozenset()
    """Fields whose option was typed on the command line."""


def options_from(
    config: type, *, defaults: Mapping[str, Any] | None = None, more: Mapping[str, tuple[str, ...]] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command every option of a config; its first parameter takes their values by field, as a `Given`.

    Args:
        config: a dataclass whose fields are declared with `option`.
        defaults: fields whose default is another on the command line.
        more: words that a field can have on the command line only.
    """
    options = {
        field: dataclasses.replace(
            each,
            default=(defaults or {}).get(field, each.default),
            also=(more or {}).get(field, ()),
        )
        for field, each in options_of(config).items()
    }
    generated = [_parameter(each) for each in options.values()]
    generated += [_parameter(each, old) for each in options.values() for old in each.was]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        own = [each.replace(annotation=hints[name]) for name, each in inspect.signature(command).parameters.items()][1:]

        @functools.wraps(command)
        def run(context: Any, **values: Any) -> None:
            command(_given(context, options, values), **{each.name: values[each.name] for each in own})

        first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=Context)
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (first, *own, *generated)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


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
            typer.echo(f"note: {_flag(each.name)} is not used: {why} has no such encoder", err=True)
        else:
            raise typer.BadParameter(f"{why} does not use it: leave it out", param_hint=_flag(each.name))


def _given(context: Any, options: Mapping[str, Option], values: Mapping[str, Any]) -> Given:
    """The values by field; one that was given under a name of an earlier version, with a hint."""
    given, typed = Given(), set()
    for field, each in options.items():
        given[field] = values[each.name]
        for name in (each.name, *each.was):
            source = context.get_parameter_source(name).name
            if name != each.name and source not in {"DEFAULT", "ENVIRONMENT"}:
                typer.echo(f"note: {_flag(name)} is called {_flag(each.name)} now; the old name goes away", err=True)
                given[field] = values[name]
            if source == "COMMANDLINE":
                typed.add(field)
    given.typed = frozenset(typed)
    return given


def _parameter(option: Option, old: str | None = None) -> inspect.Parameter:
    """The option as a parameter that typer reads; under a name of earlier versions, hidden."""
    name = old or option.name
    default, kind = option.default, option.type
    about: dict[str, Any] = {"help": option.help, "rich_help_panel": option.panel, "hidden": old is not None}
    if option.kind or option.usual_words:
        kind, about["parser"] = str, _parser(option)
    if option.kind and default is not None:
        default = option.kind.show(default)
    if option.usual_words:
        about |= {"metavar": f"[{'|'.join(option.usual_words)}]", "autocompletion": lambda: list(option.words)}
    if option.least is not None:
        about["min"] = option.least
    if option.env and old is None:
        about["envvar"] = option.env
    flag = f"{_flag(name)}/--no-{_flag(name)[2:]}" if default is True else _flag(name)
    hint: Any = kind if default is not None else kind | None
    annotation: Any = Annotated[hint, typer.Option(flag, **about)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def parser_of(kind: Kind, name: str) -> Callable[[Any], Any]:
    """What typer calls with a text of the command line, or a value of the settings file, of this kind."""
    return _clear(lambda value: kind.read(name, value))


def _parser(option: Option) -> Callable[[Any], Any]:
    if option.kind:
        return parser_of(option.kind, option.name)
    return _clear(lambda value: one_of(option.name, str(value), option.words))


def _clear(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        try:
            return read(value)
        except KindError as problem:
            raise typer.BadParameter(str(problem)) from None

    return parse


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
