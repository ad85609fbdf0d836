"""How much work the rows of a grid are, so that the time left can be told before the slow ones come."""

from collections.abc import Iterable, Mapping

from mer.cache.granularity import is_text
from mer.grids.grid import Grid
from mer.heads.config import HeadConfig
from mer.heads.features.features import Features
from mer.heads.own_kind import head_kind
from mer.heads.training.planned_runs import partition_of
from mer.heads.training.selection import select
from mer.protocol import ProtocolError

READ = 20
"""What it costs to read and average one value of a unit, in multiplications: memory is slower than products."""

PRODUCTS_PER_SECOND = 3e10
"""How much of these costs a thread of a processor of 2023 does in a second: to tell minutes from seconds, no more."""
USUAL_EPOCHS = 15
"""That a run takes with early stopping, until better is known."""


def guessed_seconds(cache: Features, grid: Grid[HeadConfig]) -> float:
    """CPU-seconds of a grid, within a factor of several.

    Args:
        cache: the feature cache; it has to hold every granularity of the grid.
        grid: the table.
    """
    costs = zip(row_costs(cache, grid), grid.rows, strict=True)
    return sum(cost * min(USUAL_EPOCHS, row.configs[0].max_epochs) for cost, row in costs) / PRODUCTS_PER_SECOND


def row_costs(cache: Features, grid: Grid[HeadConfig]) -> list[float]:
    """Products of one epoch of each row, times its runs; a guess, and only their ratios mean anything.

    Args:
        cache: the feature cache; it has to hold every granularity of the grid.
        grid: the table.
    """
    names = sorted({name for row in grid.rows for name in row.branches})
    units = unit_counts(cache, names)
    return [sum(run_cost(cache, config, units) * runs_of(cache, config) for config in row.configs) for row in grid.rows]


def unit_counts(cache: Features, granularities: Iterable[str]) -> dict[str, int]:
    """Units of all utterances of a cache."""
    return {name: int(cache.packed(name).lengths.sum()) for name in granularities}


def runs_of(cache: Features, config: HeadConfig) -> int:
    """Runs of one head; none where its folds cannot be made."""
    try:
        folds = config.folds or partition_of(select(cache, config)[0], config).cuts
    except ProtocolError:
        return 0
    return len(config.seeds) * len(folds)


def run_cost(cache: Features, config: HeadConfig, units: Mapping[str, int]) -> float:
    """Products of one epoch of a run; a guess, and only ratios mean anything.

    Args:
        cache: the feature cache.
        config: the head.
        units: of each of its granularities, from `unit_counts`.
    """
    total, kind = 0.0, head_kind(config.fusion)
    for name in config.branches:
        width, layers = cache.dim(name), len(config.layers or cache.layers(name))
        per_unit = float(READ * layers * width)
        if kind.attends:
            # q, k, v, o and the two matrices of the feed-forward part; forward and backward are three products.
            per_unit += 3 * config.attention_layers * (4 + 2 * config.feed_forward_ratio) * width**2
        else:
            per_unit += 3 * config.hidden * (width + config.hidden)
        times = max(1, len(config.branches) - 1) if kind.text_per_speech and is_text(name) else 1
        total += units[name] * per_unit * times
    return total
