"""The page: one HTML file with everything in it."""

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from mer.cache.granularity import STREAMS
from mer.files.shown_text import shown
from mer.report.columns import P_HOLM, measure_columns, shown_columns
from mer.report.comparison_table import DASH
from mer.report.figure_set import CONFUSION, NamedFigure
from mer.report.figures.inline_svg import inline_svg
from mer.report.figures.style import COLUMN
from mer.report.head_looks import COLOURS
from mer.report.page_data import page_data, script_json, visible
from mer.report.reported_run import ReportedRun
from mer.report.run_group import RunGroup
from mer.report.score_table import ScoreTable
from mer.report.table_text import SYNTHETIC, definitions
from mer.report.utterance_facts import Facts

SCRIPTS = ("page.js", "scores.js", "confusions.js", "download.js", "links.js")
"""In this order: the first makes the list, which the others read and filter."""
P_HOLM_SAID = "p (Holm) = p of the paired test over folds and seeds, corrected for the number of rows."


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
    environment = Environment(autoescape=True, finalize=_safe, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(visible=visible, breakable=breakable)
    template = environment.from_string((folder / "page.html.j2").read_text("utf-8"))
    columns = [*shown_columns(table), *([P_HOLM] if table.reference else [])]
    return template.render(
        title=f"{table.title}: {len(table.rows)} head{'s' if len(table.rows) != 1 else ''}",
        table=table,
        columns=columns,
        measures=len(measure_columns(table)),
        cell=lambda row, column: column.text(table, row),
        value=lambda row, column: "" if (value := column.get(table, row)) is None else value,
        looks=group.looks,
        about=about_lines(group),
        # Confusion matrices are made in the page, where their cells filter the list.
        matrices=bool(group.classes) and any(run.predictions for run in group.runs),
        figures=[_figure(each) for each in figures if each.name != CONFUSION],
        runs=[_run(run) for run in group.runs],
        synthetic=SYNTHETIC if table.synthetic else "",
        definitions=[*definitions(table), *([P_HOLM_SAID] if table.reference else [])],
        notes=list(notes),
        version=version,
        # Both are mer's own files; the data is escaped for a script element.
        style=Markup(head_colours() + (folder / "page.css").read_text("utf-8")),
        script=Markup("\n".join((folder / name).read_text("utf-8") for name in SCRIPTS)),
        data=Markup(script_json(page_data(group, facts))),
    )


def _safe(value: Any) -> Any:
    """What stands in the page: text as it may be seen, and mer's own files as they are."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def breakable(name: str) -> Markup:
    """A name that a narrow column may also break behind its signs: `class_weights=balanced`, `runs/late`."""
    return Markup(re.sub(r"(?<=[=/])", "<wbr>", str(escape(shown(name)))))


def head_colours() -> str:
    """The style sheet's `--head-0`, `--head-1` ... in both themes."""
    paper, dark = (" ".join(f"--head-{n}: {pair[side]};" for n, pair in enumerate(COLOURS)) for side in (0, 1))
    return (
        f":root {{ {paper} }}\n"
        f'@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark} }} }}\n'
        f':root[data-theme="dark"] {{ {dark} }}\n'
    )


def about_lines(group: RunGroup) -> tuple[str, str]:
    """What the page is, in two lines for somebody who sees such a page for the first time."""
    task = f"rates {', '.join(group.classes)} of" if group.rated else "names the emotion of"
    measures = "CCC = concordance of ratings" if group.rated else "UA = mean of the class recalls, WA = share right"
    return (
        f"Each row is a head: a model that {task} an utterance from speech, transcript or both, tested on new utterances.",
        f"F frames, P phones, S syllables, W words of the speech, T wordpieces of the transcript; {measures}.",
    )


def _figure(figure: NamedFigure) -> Mapping[str, Any]:
    # Markup of matplotlib, in which names are escaped.
    drawing = Markup(inline_svg(figure.figure, figure.name))
    return {"name": figure.name, "caption": figure.caption, "drawing": drawing, "wide": figure.figure.get_figwidth() > COLUMN}


def _run(run: ReportedRun) -> Mapping[str, Any]:
    return {
        "name": run.name,
        "status": run.status,
        "directory": str(run.directory),
        "notes": run.notes,
        "parts": [
            {"title": title, "values": {name: visible(_plain(value)) for name, value in values.items()}}
            for title, values in (("Settings", dict(sorted(run.config.items()))), ("Data and result", _about(run)))
            if values
        ],
        "starts": [
            {
                "command": visible(str(start.get("command", ""))),
                "device": visible(str(start.get("device", ""))),
                "versions": ", ".join(f"{name} {number}" for name, number in (start.get("versions") or {}).items()),
            }
            for start in run.provenance
        ],
    }


def _about(run: ReportedRun) -> dict[str, Any]:
    """What the result says of its data and its making, as far as it does."""
    if run.status != "done":
        return {}
    used, features = run.result.get("utterances", {}), run.result.get("features") or {}
    models = {name: each for name, each in features.items() if name.split("@")[0] in STREAMS and isinstance(each, dict)}
    about = {
        "corpus": run.corpus,
        "utterances tested": run.result["summary"]["all"]["utterances"],
        "utterances used": used.get("used"),
        "left out of training": run.left_out or None,
        "paper": run.paper or None,
        "beside the paper": run.setup or None,
        "of other labels, left out": used.get("other_labels"),
        "failed in the extraction": used.get("failed_extraction"),
        "runs": f"{len(run.result['runs'])} ended, {len(run.failures)} failed",
        "device": run.result.get("device"),
        "seconds of training": round(run.result.get("seconds", 0.0)),
        "feature cache": run.result.get("cache_key"),
        **{f"{name} encoder": model.get("model") for name, model in models.items()},
        **{f"{name} encoder, revision": model.get("revision") for name, model in models.items()},
        **{f"{name} encoder, SHA-256": model.get("weights_sha256") for name, model in models.items()},
    }
    return {name: value for name, value in about.items() if value is not None}


def _plain(value: Any) -> str:
    """A setting for people; what is not set is a dash, and what has parts is JSON."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
