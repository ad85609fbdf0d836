"""Grids: the rows of one table, each a head or a fine-tuned model, beside what a paper reports for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from mer.cache.granularity import in_order
from mer.heads.errors import HeadError
from mer.protocol.paper_setup import MULTI_LEVEL


@runtime_checkable
class RowConfig(Protocol):
    """What a grid knows of a row's config; `HeadConfig` is one."""

    @property
    def fusion(self) -> str:
        """How the branches are put together."""
        ...

    @property
    def branches(self) -> tuple[str, ...]:
        """What the row needs, in its fixed order."""
        ...

    @property
    def track(self) -> str | None:
        """Name of the tracker that is told of the row, if one is."""
        ...

    def identity(self) -> dict[str, object]:
        """All that can change a number."""
        ...


Config = TypeVar("Config", bound=RowConfig)


class GridError(HeadError):
    """A grid that cannot be run; every fault is in the message, with file and line where there is one."""


@dataclass(frozen=True, kw_only=True)
class GridRow(Generic[Config]):
    """One row of a table."""

    name: str
    """What the table calls it; no two rows share one."""
    configs: tuple[Config, ...]
    """The head or model of the row; for a multi-level row the coattention head and the late one, in this order."""
    published_ua: float | None = None
    """UA that the paper reports for this row, in percent."""
    published_wa: float | None = None
    """WA that the paper reports for this row, in percent."""
    setup: Mapping[str, Any] | None = None
    """How the paper made its figures (`mer.protocol.paper_setup`); None where the grid does not say."""

    @property
    def multi_level(self) -> bool:
        """Whether the row averages the logits of two heads."""
        return len(self.configs) == 2

    @property
    def fusion(self) -> str:
        """What the row is called in results."""
        return MULTI_LEVEL if self.multi_level else self.configs[0].fusion

    @property
    def branches(self) -> tuple[str, ...]:
        """Granularities that the row needs, text included; encoders, for a row that is fine-tuned."""
        return in_order(dict.fromkeys(name for config in self.configs for name in config.branches))

    def identity(self) -> list[dict[str, object]]:
        """All that can change a number of this row; two rows with one identity are the same row."""
        return [config.identity() for config in self.configs]


@dataclass(frozen=True, kw_only=True)
class Grid(Generic[Config]):
    """One table."""

    name: str
    """Name of the preset, or of the file without its ending; part of the folder's name."""
    title: str
    """One line above the table."""
    paper: str | None = None
    """Whose figures `published_ua` and `published_wa` are."""
    paper_seeds: int | None = None
    """Seeds that each figure is the mean of; None where that is not known."""
    rows: tuple[GridRow[Config], ...]
    """At least one, in the order in which they are trained and printed."""

    def __post_init__(self) -> None:
        """Reject a table without rows.

        Raises:
            GridError: there are none.
        """
        if not self.rows:
            raise GridError(f"the grid {self.name!r} has no rows: give [[rows]], [axes] or both")
