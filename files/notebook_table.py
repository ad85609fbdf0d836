"""A small table as HTML, for the notebooks of people: everything in it is text."""

from collections.abc import Sequence
from html import escape

from mer.files.shown_text import shown


def notebook_table(title: str, rows: Sequence[Sequence[object]], *, heads: Sequence[str] = ()) -> str:
    """HTML of a table whose first column names its rows; what would be a tag or moves the cursor is written out.

    Args:
        title: what stands above it.
        rows: one sequence of cells each.
        heads: names of the columns, if they have any.
    """
    lines = [f"<caption>{_safe(title)}</caption>"]
    if heads:
        lines.append("<thead><tr>" + "".join(f"<th>{_safe(each)}</th>" for each in heads) + "</tr></thead>")
    for first, *others in rows:
        cells = "".join(f"<td>{_safe(each)}</td>" for each in others)
        lines.append(f'<tr><th scope="row">{_safe(first)}</th>{cells}</tr>')
    return "<table>" + "".join(lines) + "</table>"


def _safe(cell: object) -> str:
    return escape(shown(str(cell)))
