"""How the values of options are written, on the command line and in TOML files alike."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

WORDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}

_RANGE = re.compile(r"([0-9]{1,4})\s*-\s*([0-9]{1,4})")
_NAME = re.compile(r"(?![0-9]+-[0-9-]*$)\w(?:[\w.+-]*\w)?")  # not a range with something wrong


class KindError(ValueError):
    """A value that its option cannot have; says which is expected."""


@dataclass(frozen=True)
class Kind:
    """One way to write a value that is more than a number or a word."""

    read: Callable[[str, object], Any]
    """The value of an option (its name, then what was written); raises KindError."""
    show: Callable[[Any], str]
    """The value as the command line takes it."""


def checked(option: str, value: object, kind: type) -> Any:
    """A plain value of TOML, if it has this type; whole numbers are numbers, too."""
    if not _is(value, kind):
        raise KindError(f"{option} must be {WORDS[kind]}, got {value!r}")
    return float(value) if kind is float and isinstance(value, int) else value


def parse_granularity(text: str) -> tuple[str, ...]:
    """`F+S` as its parts; `F@wavlm` is F of the encoder wavlm."""
    parts = (part.strip().partition("@") for part in text.split("+"))
    return tuple(f"{unit.upper()}{at}{encoder.lower()}" for unit, at, encoder in parts)


def _granularity(option: str, value: object) -> tuple[str, ...]:
    return parse_granularity(checked(option, value, str))


def _seeds(option: str, value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        numbers = numbers_of(option, value.removesuffix(","))
        value = numbers[0] if value.strip().isdecimal() else list(numbers)
    if isinstance(value, int) and not isinstance(value, bool):
        return tuple(range(value))
    return _listed(option, value, (int,), "a count or a list such as [0, 1, 2]")


def _numbers(option: str, value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        return numbers_of(option, value)
    return _listed(option, value, (int,), 'a list such as [6, 7, 8] or a text such as "6-8"')


def _sessions(option: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return names_of(option, value)
    listed = _listed(option, value, (int, str), 'a list such as ["1", "2"] or a text such as "1-5"')
    return tuple(str(each) for each in listed)


def _pair(option: str, value: object) -> tuple[float, ...]:
    if isinstance(value, str):
        try:
            first, second = (float(each) for each in value.split(","))
        except ValueError:
            raise KindError(f"{option} {value!r}: expected two numbers such as 1,0.5") from None
        return first, second
    return tuple(float(each) for each in _listed(option, value, (float,), "two numbers such as [1.0, 0.5]"))


def _texts(expected: str) -> Callable[[str, object], tuple[str, ...]]:
    """Reads texts of any kind between commas, or a list of them."""

    def read(option: str, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            return tuple(each.strip() for each in value.split(",") if each.strip())
        return _listed(option, value, (str,), expected)

    return read


def _show_seeds(seeds: tuple[int, ...]) -> str:
    return str(len(seeds)) if seeds == tuple(range(len(seeds))) else _commas(seeds)


def _commas(values: tuple[object, ...]) -> str:
    return ",".join(map(str, values))


GRANULARITY = Kind(_granularity, "+".join)
"""`F+S`."""
SEEDS = Kind(_seeds, _show_seeds)
"""`5` for the first five, or a list: `0,2,5`."""
NUMBERS = Kind(_numbers, _commas)
"""`9-12` or `3,6,9-12`."""
SESSIONS = Kind(_sessions, _commas)
"""`1-5`, `1,3`, or names."""
ASSIGNMENTS = Kind(_texts('a list such as ["gate=tanh"] or a text such as "gate=tanh,deep=true"'), _commas)
"""`gate=tanh,deep=true`."""
NAMES = Kind(_texts('a list such as ["disgust", "fear"] or a text such as "disgust,fear"'), _commas)
"""`disgust,fear`."""
PAIR = Kind(_pair, _commas)
"""`1,0.5`."""


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _listed(option: str, value: object, kinds: tuple[type, ...], expected: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not all(any(_is(each, kind) for kind in kinds) for each in value):
        raise KindError(f"{option} must be {expected}, got {value!r}")
    return tuple(value)


def names_of(what: str, text: str) -> tuple[str, ...]:
    """Numbers, ranges with both ends included, and names, in the order given, each once: `1,3-5` is `1`, `3`, `4`, `5`.

    Zeros at the beginning of a range are kept: `08-10` is `08`, `09`, `10`.

    Args:
        what: the list is of, as messages call it.
        text: items separated by commas.

    Raises:
        KindError: an item is empty, a backward or open range, or no name.
    """
    found: dict[str, None] = {}
    for item in (each.strip() for each in text.split(",")):
        ends = _RANGE.fullmatch(item)
        if ends:
            first, last = int(ends[1]), int(ends[2])
            if first > last:
                raise KindError(f"{what} {text!r}: the range {item!r} runs backwards; write {last}-{first}")
            digits = len(ends[1]) if ends[1].startswith("0") else 1
            found |= dict.fromkeys(f"{number:0{digits}}" for number in range(first, last + 1))
        elif _NAME.fullmatch(item):
            found[item] = None
        else:
            raise KindError(
                f"{what} {text!r}: {item!r} is neither a number, a range nor a name; expected something like 1-5 or 1,3-5"
            )
    return tuple(found)


def numbers_of(what: str, text: str) -> tuple[int, ...]:
    """Numbers and ranges, as `names_of` reads them; raises KindError for anything else, names included."""
    found = names_of(what, text)
    if not all(each.isdecimal() for each in found):
        raise KindError(f"{what} {text!r}: expected numbers and ranges such as 1-5 or 1,3-5")
    return tuple(int(each) for each in found)
