"""Whether values of a JSON file are what they have to be, and where they are not."""

from collections.abc import Mapping
from typing import Any

NAMES: Mapping[Any, str] = {str: "a text", int: "a whole number", float: "a number", dict: "an object", list: "a list"}


def misfit(values: Any, shape: Any, where: str = "") -> str | None:
    """What is wrong with some values first, such as `runs[3].seed: expected a whole number, got 'x'`; None for nothing.

    Args:
        values: as JSON gives them.
        shape: a type; a list with the shape of every element; or a mapping of the keys that an object must have to theirs
            (of a key that ends in `?` only if it is there). An object may have other keys, too.
        where: of the values in their file.
    """
    if isinstance(shape, dict):
        return _misfit_of_object(values, shape, where)
    if isinstance(shape, list):
        if not isinstance(values, list):
            return _expected(where, "a list", values)
        found = (misfit(each, shape[0], f"{where}[{number}]") for number, each in enumerate(values))
        return next((problem for problem in found if problem), None)
    kinds = (int, float) if shape is float else shape
    fits = isinstance(values, kinds) and not isinstance(values, bool)
    return None if fits else _expected(where, NAMES[shape], values)


def _misfit_of_object(values: Any, shape: Mapping[str, Any], where: str) -> str | None:
    if not isinstance(values, dict):
        return _expected(where, NAMES[dict], values)
    for key, each in shape.items():
        name = key.removesuffix("?")
        place = f"{where}.{name}" if where else name
        if name in values:
            problem = misfit(values[name], each, place)
        else:
            problem = None if key.endswith("?") else f"{place}: is missing"
        if problem:
            return problem
    return None


def _expected(where: str, what: str, got: Any) -> str:
    shown = repr(got)
    return f"{where + ': ' if where else ''}expected {what}, got {shown if len(shown) <= 40 else shown[:37] + '...'}"
