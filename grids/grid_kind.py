"""Kinds of grids: what the rows of a table are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from mer.grids.grid import Config
from mer.grids.grid_options import GridOptions
from mer.heads.config import HeadConfig, head_config
from mer.protocol.paper_setup import MULTI_LEVEL, MULTI_LEVEL_PARTS

HEADS, FINETUNE = "heads", "finetune"
"""Values of `kind` in `[grid]`: heads on a feature cache, or models that are trained end to end."""


@dataclass(frozen=True, kw_only=True)
class GridKind(Generic[Config]):
    """How the rows of one kind of grid are read."""

    name: str
    """`heads` or `finetune`."""
    options: GridOptions
    """What a row can set."""
    make: Callable[..., Config]
    """Config of a row, from its fields; raises a ValueError for one that cannot be trained."""
    name_of: Callable[[tuple[Config, ...]], str]
    """What a row without a name is called."""
    shape: frozenset[str]
    """Options that `name_of` tells, and that decide which branches a row has."""
    parts: tuple[str, ...] = ()
    """Options of a row only, that make it of two configs."""
    between_faults: str = "\n"
    """What stands between two faults in an error of `make`."""


def _name_of_heads(configs: tuple[HeadConfig, ...]) -> str:
    first, *others = configs
    if others:
        heads = [f"{config.fusion} {'+'.join(config.granularities)}" for config in configs]
        return f"{MULTI_LEVEL} {' + '.join(heads)}"
    return f"{first.fusion} {'+'.join(first.branches)}"


HEAD_GRIDS = GridKind(
    name=HEADS,
    options=GridOptions(config=HeadConfig),
    make=head_config,
    name_of=_name_of_heads,
    shape=frozenset({"granularity", "modality", "fusion", *MULTI_LEVEL_PARTS}),
    parts=MULTI_LEVEL_PARTS,
    between_faults="; ",
)
"""Grids of heads on cached features."""
