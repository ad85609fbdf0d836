"""Differences between the rows of a table, with their intervals and p-values, and beside a paper's figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

LEVEL = 0.05
DASH = "-"
COMPARISONS = (
    "UA diff = difference in points, row minus reference, mean over n pairs of the same fold and seed. Interval = bootstrap over "
    "test utterances. p = paired t-test over the n pairs, and over the means of the folds; Holm = p corrected for the number "
    "of rows. * corrected p below 0.05 over pairs, ** over folds too: seeds of one fold share its test utterances, so ** is "
    "the one to believe."
)


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Each row against its reference: difference, interval, both p-values before and after correction, mark.

    Args:
        rows: `RowComparison.as_dict()` of each, shares of 1. Rows of one reference make one table.
    """
    if not rows:
        return Text("a single row: nothing to compare it with", style="dim")
    parts: list[RenderableType] = []
    for reference in dict.fromkeys(str(row["reference"]) for row in rows):
        # No title of the table: rich would break it at the table's width.
        parts.append(Text(f"compared with {reference}", style="bold"))
        parts.append(_table([row for row in rows if row["reference"] == reference]))
    return Group(*parts, Text(COMPARISONS, style="dim"))


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("row", overflow="fold")
    for name in ("n", "UA\ndiff", "95 %\ninterval", "p\npairs", "Holm\npairs", "p\nfolds", "Holm\nfolds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=2)
    for row in rows:
        table.add_row(
            escape(str(row["row"])),
            str(row["pairs"]),
            points(row["difference"]),
            f"{points(row['low'])} {points(row['high'])}",
            *(probability(row[name]) for name in ("p", "p_holm", "p_folds", "p_folds_holm")),
            mark(row),
        )
    return table


def mark(row: Mapping[str, Any]) -> str:
    """`*` where the difference survives Holm's correction over pairs, `**` where it does over fold means too."""
    if row["p_holm"] is None or row["p_holm"] >= LEVEL:
        return ""
    return "**" if row["p_folds_holm"] is not None and row["p_folds_holm"] < LEVEL else "*"


def points(share: float | None) -> str:
    """A difference of shares in points with its sign; a dash where there is none."""
    if share is None:
        return DASH
    text = f"{100 * share:+.2f}"
    return "0.00" if float(text) == 0 else text


def probability(p: float | None) -> str:
    """A p-value to three places, never 0; a dash where there was no test."""
    if p is None:
        return DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"
