"""The page: one HTML file with everything in it."""

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mer.report.comparison_table import COMPARISONS, points, probability
from mer.report.figure_set import NamedFigure
from mer.report.figures import svg
from mer.report.page_data import page_data, script_json, visible
from mer.report.run_group import RunGroup
from mer.report.score_table import ScoreTable
from mer.report.table_text import DEFINITIONS, SYNTHETIC, difference_cell
from mer.report.tables import percent
from mer.report.utterance_facts import Facts


def page(
    group: RunGroup, table: ScoreTable, figures: Sequence[NamedFigure], facts: Facts, *, version: str, notes: Sequence[str] = ()
) -> str:
    """Make the page; it asks no network for anything, and what corpora say stands in it as text.

    Args:
        group: the rows.
        table: their scores.
        figures: drawn inside the page.
        facts: of the utterances.
        version: of mer.
        notes: what a reader has to know about the utterance browser, such as how much audio is in it.
    """
    folder = files("mer.report") / "template"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=percent, visible=visible)
    template = environment.from_string((folder / "page.html.j2").read_text("utf-8"))
    return template.render(
        title=f"{table.title}: {len(table.rows)} head{'s' if len(table.rows) != 1 else ''}",
        table=table,
        both_papers=any(row.published_wa is not None for row in table.rows),
        difference_cell=difference_cell,
        points=points,
        probability=probability,
        figures=[{"name": each.name, "caption": each.caption, "address": _address(each)} for each in figures],
        runs=[_run(run) for run in group.runs],
        synthetic=SYNTHETIC if table.synthetic else "",
        definitions=DEFINITIONS,
        comparisons=COMPARISONS,
        notes=list(notes),
        version=version,
        # Both are mer's own files; the data is escaped for a script element.
        style=Markup((folder / "page.css").read_text("utf-8")),
        script=Markup((folder / "page.js").read_text("utf-8")),
        data=Markup(script_json(page_data(group, facts))),
    )


def _address(figure: NamedFigure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure.figure)).decode()


def _run(run: Any) -> Mapping[str, Any]:
    settings = {name: json.dumps(value) if not isinstance(value, str) else value for name, value in sorted(run.config.items())}
    return {
        "name": run.name,
        "status": run.status,
        "directory": str(run.directory),
        "notes": run.notes,
        "settings": {name: visible(value) for name, value in settings.items()},
        "starts": [
            {
                "command": visible(str(start.get("command", ""))),
                "device": visible(str(start.get("device", ""))),
                "versions": ", ".join(f"{name} {number}" for name, number in (start.get("versions") or {}).items()),
            }
            for start in run.provenance
        ],
    }
