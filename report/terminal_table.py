"""A score table on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mer.report.comparison_table import comparison_table
from mer.report.score_table import PaperScore, ScoreRow, ScoreTable
from mer.report.table_text import BEST, DASH, DEFINITIONS, PAPER, SYNTHETIC, paper_cells
from mer.report.tables import percent


def terminal_table(table: ScoreTable, comparisons: Sequence[Mapping[str, Any]], refusals: Mapping[str, str]) -> RenderableType:
    """The scores, the paper's beside them, the differences, and what the numbers mean.

    Args:
        table: the rows.
        comparisons: `RowComparison.as_dict()` of them.
        refusals: rows that could not be compared, with the reason.
    """
    parts: list[RenderableType] = [Text(table.title, style="bold")]
    if table.synthetic:
        parts.append(Text(SYNTHETIC, style="yellow"))
    parts.append(_two_lines(table) if table.published_wa else _one_line(table))
    parts += [Text(f"{row.name}: {row.note}", style="yellow") for row in table.rows if row.note]
    parts += [Text(remark, style="yellow") for remark in table.remarks]
    parts.append(Text(DEFINITIONS, style="dim"))
    if table.published:
        parts.append(Text(PAPER.format(papers="; ".join(table.papers) or "the figures of the grid"), style="dim"))
    if comparisons:
        parts += [Text(""), comparison_table(comparisons)]
        parts += [] if table.chosen else [Text(f"{BEST[:-1]} (--reference).", style="dim")]
    parts += [Text(f"not compared: {name}: {reason}", style="yellow") for name, reason in refusals.items()]
    return Group(*parts)


def _one_line(table: ScoreTable) -> Table:
    shown = _empty()
    papers = ["paper\nUA", "vs\npaper"] if table.published else []
    for name in ("n", "UA", "±\nfolds", "±\nseeds", "UA\nmerged", "WA", "WA\nmerged", *papers):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in table.rows:
        shares = (row.ua, row.ua_folds, row.ua_seeds, row.ua_merged, row.wa, row.wa_merged)
        cells = [percent(share) for share in shares] if row.status == "done" else [row.status, *[DASH] * 5]
        cells += paper_cells(row.paper_ua, _short(row)) if table.published else []
        shown.add_row(escape(row.name), _count(row), *cells, style="bold" if row.best else None)
    return shown


def _two_lines(table: ScoreTable) -> Table:
    """UA above WA, where a paper has both: side by side they would not fit 80 columns."""
    shown = _empty()
    shown.add_column("n", justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    for name in ("mean", "±\nfolds", "±\nseeds", "merged", "paper", "vs\npaper"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in table.rows:
        ua = _measure("UA", row, (row.ua, row.ua_folds, row.ua_seeds, row.ua_merged), row.paper_ua)
        wa = _measure("WA", row, (row.wa, row.wa_folds, row.wa_seeds, row.wa_merged), row.paper_wa)
        cells = ("\n".join(pair) for pair in zip(ua, wa, strict=True))
        shown.add_row(escape(row.name), _count(row), *cells, style="bold" if row.best else None)
    return shown


def _measure(name: str, row: ScoreRow, shares: Sequence[float | None], paper: PaperScore | None) -> list[str]:
    cells = [percent(share) for share in shares] if row.status == "done" else [row.status, *[DASH] * 3]
    return [name, *cells, *paper_cells(paper, _short(row))]


def _short(row: ScoreRow) -> str:
    """In a narrow column; what differs is below the table."""
    return "differs" if row.setup else ""


def _empty() -> Table:
    shown = Table(box=SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    shown.add_column("head", overflow="fold")
    return shown


def _count(row: ScoreRow) -> str:
    return DASH if row.utterances is None else f"{row.utterances:,}"
