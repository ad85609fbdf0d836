"""A score table on the terminal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mer.protocol.metrics import METRICS, STATISTICS
from mer.report.columns import COUNT, NAME, Column, cells, measure_column, measure_columns, paper_columns, score_definitions
from mer.report.comparison_table import comparison_table
from mer.report.score_table import ScoreTable
from mer.report.table_text import BEST, PAPER, SYNTHETIC


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
    parts.append(scores_table(table, lambda measure: paper_columns(measure, setup=False)))
    parts += [Text(f"{row.name}: {row.note}", style="yellow") for row in table.rows if row.note]
    parts += [Text(remark, style="yellow") for remark in table.remarks]
    parts.append(Text(score_definitions(table), style="dim"))
    if table.paper_measures:
        parts.append(Text(PAPER.format(papers="; ".join(table.papers) or "the figures of the grid"), style="dim"))
    if comparisons:
        parts += [Text(""), comparison_table(comparisons)]
        parts += [] if table.chosen else [Text(f"{BEST[:-1]} (--reference).", style="dim")]
    parts += [Text(f"not compared: {name}: {reason}", style="yellow") for name, reason in refusals.items()]
    return Group(*parts)


def parts_table(table: ScoreTable) -> RenderableType:
    """The scores of parts of the test utterances, with their title."""
    notes = [Text(f"{row.name}: {row.note}", style="yellow") for row in table.rows if row.note]
    return Group(Text(""), Text(table.title, style="bold"), scores_table(table, paper_columns), *notes)


def scores_table(
    table: ScoreTable, papers: Callable[[str], Sequence[Column]], *, name: str = "head", count: bool = True
) -> Table:
    """Every row's measures and the paper's figures beside them, in 80 columns; the best row is bold.

    Where a paper has several measures, or ratings are predicted, a row has a line for each: side by side they would not fit.

    Args:
        table: the rows.
        papers: the columns of a paper's figure of one measure.
        name: what the first column is called.
        count: whether the test utterances of each row are told.
    """
    shown = Table(box=SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    shown.add_column(name, overflow="fold")
    front = [COUNT] if count else []
    several = len(table.paper_measures) > 1 or table.learned == {"ratings"}
    if several:
        lines = [_line(measure, papers, asked=bool(table.paper_measures)) for measure in table.shown]
    else:
        beside = [column for measure in table.paper_measures for column in papers(measure)]
        lines = [[*measure_columns(table, narrow=bool(beside)), *beside]]
    for column in (*front, *lines[0]):
        shown.add_column(column.narrow, justify="right", no_wrap=True)
    for row in table.rows:
        text = ["\n".join(pair) for pair in zip(*(cells(table, row, line) for line in lines), strict=True)]
        shown.add_row(escape(NAME.text(table, row)), *cells(table, row, front), *text, style="bold" if row.best else None)
    return shown


def _line(measure: str, papers: Callable[[str], Sequence[Column]], *, asked: bool) -> list[Column]:
    """One measure: its name, every statistic, and a paper's figure where some row has one."""
    title = METRICS[measure].title
    statistics = [replace(measure_column(measure, each), title=said or "mean") for each, (said, _) in STATISTICS.items()]
    told = papers(measure) if asked else []
    beside = [replace(column, title=column.title.removesuffix(f" {title}")) for column in told]
    return [Column(key="measure", get=lambda table, row: title, text=lambda table, row: title), *statistics, *beside]
