"""A score table on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mer.report.comparison_table import comparison_table
from mer.report.score_table import ScoreTable
from mer.report.table_text import DASH, DEFINITIONS, SYNTHETIC
from mer.report.tables import percent

BEST = "The reference is the best row of this table, which favours it: to claim a difference, name one beforehand (--reference)."


def terminal_table(
    table: ScoreTable, comparisons: Sequence[Mapping[str, Any]], refusals: Mapping[str, str], *, chosen: bool
) -> RenderableType:
    """The scores, the paper's beside them, the differences, and what the numbers mean.

    Args:
        table: the rows.
        comparisons: `RowComparison.as_dict()` of them.
        refusals: rows that could not be compared, with the reason.
        chosen: whether the reference was named beforehand.
    """
    parts: list[RenderableType] = [Text(table.title, style="bold")]
    if table.synthetic:
        parts.append(Text(SYNTHETIC, style="yellow"))
    parts.append(_scores(table))
    parts += [Text(f"{row.name}: {row.note}", style="yellow") for row in table.rows if row.note]
    parts.append(Text(DEFINITIONS, style="dim"))
    if comparisons:
        parts += [Text(""), comparison_table(comparisons)]
        parts += [] if chosen else [Text(BEST, style="dim")]
    parts += [Text(f"not compared: {name}: {reason}", style="yellow") for name, reason in refusals.items()]
    return Group(*parts)


def _scores(table: ScoreTable) -> Table:
    both = any(row.published_wa is not None for row in table.rows)
    shown = Table(box=SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    shown.add_column("head", overflow="fold")
    papers = ["paper\nUA", *(["paper\nWA"] if both else [])] if table.published else []
    for name in ("n", "UA", "±\nfolds", "±\nseeds", "UA\nmerged", "WA", "WA\nmerged", *papers):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in table.rows:
        shares = (row.ua, row.ua_folds, row.ua_seeds, row.ua_merged, row.wa, row.wa_merged)
        cells = [percent(share) for share in shares] if row.status == "done" else [row.status, *[DASH] * 5]
        figures = (row.published_ua, row.published_wa)[: len(papers)]
        cells += [DASH if figure is None else f"{figure:.2f}" for figure in figures]
        count = DASH if row.utterances is None else f"{row.utterances:,}"
        shown.add_row(escape(row.name), count, *cells, style="bold" if row.best else None)
    return shown
