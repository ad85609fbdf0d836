"""Array types hold at run time: what modules that name them take and give back is checked, for the first calls of each test.

A training calls the same few functions thousands of times with the same types: checking all of them took half the time of
the tests, and found nothing that its first steps did not.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import beartype
import jaxtyping

ROOT = Path(__file__).parents[1]
CHECKS_OF_A_TEST = 2000
"""Of the arguments or the result of one call."""

done = 0


def modules_with_array_types() -> list[str]:
    """The package's modules that name array types, without its tests."""
    rooms = [file.parent for file in ROOT.glob("*/__init__.py")]
    files = sorted(file for room in rooms for file in room.rglob("*.py") if "jaxtyping" in file.read_text(encoding="utf-8"))
    return [".".join(["mer", *file.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__") for file in files]


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its types checked, and the checks counted."""
    # the tower: an int is a float to a type checker, so it is to beartype
    check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))(function)

    @functools.wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        global done
        done += 1
        if done == CHECKS_OF_A_TEST:
            jaxtyping.config.update("jaxtyping_disable", True)
        return check(*args, **kwargs)

    return counted


def begin_test() -> None:
    """Check types again."""
    global done
    done = 0
    jaxtyping.config.update("jaxtyping_disable", False)


def install() -> None:
    """Check what is imported from now on."""
    jaxtyping.install_import_hook(modules_with_array_types(), f"{__name__}.checked")
