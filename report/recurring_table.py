"""How many test sentences are also said in training, as a table."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table


def recurring_table(found: Mapping[str, Any]) -> Table:
    """Utterances, and how many of them say what another session says, too: per session, in all and by style.

    Args:
        found: `sessions`, `styles` and `all` of `mer.protocol.TextOverlap`, as JSON knows it.
    """
    table = Table(
        title="test sentences that recur in other sessions (train-head --text-disjoint leaves them out of training)",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
    table.add_column("tested")
    for name in ("utterances", "recurring", "%"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = {
        **{f"session {name}": each for name, each in found["sessions"].items()},
        **found["styles"],
        "all": found["all"],
    }
    for name, each in rows.items():
        count, recurring = each["utterances"], each["recurring"]
        share = f"{100 * recurring / count:.1f}" if count else "-"
        table.add_row(escape(name), f"{count:,}", f"{recurring:,}", share, style="bold" if name == "all" else None)
    return table
