"""What a grid needs of a cache, asked before anything is trained."""

from mer.grids.grid import Grid, GridError, GridRow
from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.features.feature_store import layer_positions
from mer.heads.features.features import Features
from mer.protocol import session_names


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
        wanted = "+".join(sorted(held, key="FPSWT".find))
        problems.append(
            f"the cache holds {'+'.join(cache.granularities)}; `mer extract --granularity {wanted}` makes one that does for\n"
            + "\n".join(f"  {name}: needs {'+'.join(missing)}" for name, missing in lacking.items())
        )
    sessions = session_names(cache.utterances.sessions)
    folds = dict.fromkeys(fold for row in grid.rows for config in row.configs for fold in config.folds or ())
    unknown = [fold for fold in folds if fold not in sessions]
    if unknown:
        problems.append(
            f"the cache has no session {', '.join(unknown)} to test on, only {', '.join(sessions)}: "
            "extract it first (`mer extract --session ...`) or leave it out of folds"
        )
    problems += [
        f"{row.name}: {problem}" for row in grid.rows if row.name not in lacking for problem in _layer_problems(cache, row)
    ]
    if problems:
        raise GridError("\n".join(problems))


def _layer_problems(cache: Features, row: GridRow[HeadConfig]) -> list[str]:
    found: dict[str, None] = {}
    for config in row.configs:
        for name in config.branches:
            try:
                layer_positions(cache, name, config.layers)
            except HeadError as problem:
                found[str(problem)] = None
    return list(found)
