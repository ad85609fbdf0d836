"""What a grid needs of a cache, asked before anything is trained."""

from dataclasses import replace

from mer.grids.grid import Grid, GridError, GridRow
from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.features.feature_store import layer_positions
from mer.heads.features.features import Features
from mer.heads.features.held_names import in_cache, what_holds
from mer.heads.training.planned_runs import partition_of
from mer.heads.training.selection import select
from mer.protocol import ProtocolError


def grid_in_cache(grid: Grid[HeadConfig], cache: Features) -> Grid[HeadConfig]:
    """The same grid with the names that a cache has for its granularities (`in_cache`).

    Raises:
        GridError: a granularity that several encoders have, with the rows and the choices.
    """
    rows, problems = [], []
    for row in grid.rows:
        try:
            rows.append(replace(row, configs=tuple(in_cache(config, cache) for config in row.configs)))
        except HeadError as problem:
            problems.append(f"{row.name}: {problem}")
    if problems:
        raise GridError("\n".join(problems))
    return replace(grid, rows=tuple(rows))


def check_grid(cache: Features, grid: Grid[HeadConfig]) -> None:
    """Refuse a grid that needs what the cache does not hold.

    Raises:
        GridError: naming every row in question, and what adds what it needs.
    """
    problems = []
    lacking = {row.name: [name for name in row.branches if name not in cache.granularities] for row in grid.rows}
    lacking = {name: missing for name, missing in lacking.items() if missing}
    if lacking:
        held = [*cache.granularities, *dict.fromkeys(each for missing in lacking.values() for each in missing)]
        problems.append(
            f"the cache holds {'+'.join(cache.granularities)}; {what_holds(held)} makes one that does for\n"
            + "\n".join(f"  {name}: needs {'+'.join(missing)}" for name, missing in lacking.items())
        )
    problems += dict.fromkeys(problem for row in grid.rows for config in row.configs for problem in _fold_problems(cache, config))
    problems += [
        f"{row.name}: {problem}" for row in grid.rows if row.name not in lacking for problem in _layer_problems(cache, row)
    ]
    if problems:
        raise GridError("\n".join(problems))


def _fold_problems(cache: Features, config: HeadConfig) -> list[str]:
    """What is wrong with the folds, unless it is the row's own classes that are wrong."""
    try:
        partition = partition_of(select(cache, config)[0], config)
    except ProtocolError:
        return []
    try:
        partition.chosen(config.folds)
    except ProtocolError as problem:
        return [str(problem)]
    return []


def _layer_problems(cache: Features, row: GridRow[HeadConfig]) -> list[str]:
    found: dict[str, None] = {}
    for config in row.configs:
        for name in config.branches:
            try:
                layer_positions(cache, name, config.layers)
            except HeadError as problem:
                found[str(problem)] = None
    return list(found)
