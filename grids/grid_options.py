"""Options of a grid file: those of a config, by the names and in the forms that it declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mer.grids.grid import GridError
from mer.settings.kinds import KindError
from mer.settings.option import Option, by_name, options_of


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """The fields of one config as options of a grid file."""

    config: type
    """A frozen dataclass whose fields are declared with `option`, such as `HeadConfig`."""

    def names(self) -> tuple[str, ...]:
        """Every option that a row can set, in the order of the fields; names of earlier versions last."""
        return tuple(self._fields)

    def field(self, option: str) -> str:
        """The field behind an option."""
        return self._fields.get(option, option)

    def recorded(self, option: str) -> str:
        """What `config.json` calls an option that had its field's name in earlier versions."""
        return self.field(option) if self.field(option) in self._fields else option

    def value(self, option: str, value: object) -> Any:
        """A value of a grid file as its field holds it.

        Args:
            option: one of `names()`.
            value: what the file says. `granularity` is `"F+S"`; `seeds` a count or a list; `folds` and `layers` are
                a list or a text such as `"1-5"`.

        Raises:
            GridError: a value of another type, saying which is expected.
        """
        try:
            return self._options[self.field(option)].read(value)
        except KindError as problem:
            raise GridError(str(problem)) from None

    @cached_property
    def _options(self) -> Mapping[str, Option]:
        return options_of(self.config)

    @cached_property
    def _fields(self) -> dict[str, str]:
        return by_name(self._options)


def shown(value: object) -> str:
    """A value as a row's name shows it."""
    if isinstance(value, list):
        return ",".join(shown(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
