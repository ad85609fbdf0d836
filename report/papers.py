"""What papers have for the runs of a report, and how far ours are from it."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from mer.protocol import MULTI_LEVEL, MULTI_LEVEL_PARTS, against_published, asked_settings, check_setup, paper_setup
from mer.report.reported_run import UNCHECKED, ReportedRun
from mer.report.run_group import RunGroup

Identity = tuple[object, ...]
"""What tells one row of a paper's table from another."""


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """One row of a paper's table."""

    figures: Mapping[str, float]
    """`ua` and `wa` in percent."""
    paper: str
    """Paper and table."""
    seeds: int | None
    """Seeds that each figure is the mean of."""
    setup: Mapping[str, Any] | None
    """How it was made."""


def with_known_figures(runs: Sequence[ReportedRun]) -> tuple[list[ReportedRun], list[str]]:
    """Give runs the figures of the preset's row with the same head and granularities where the set-up is the paper's.

    Else they get what differs, and no figure. Runs whose grid has compared the set-ups keep what it says. Other corpora get
    nothing: no paper has figures of them.
    """
    rows = _published_rows()
    found = [_with_figures(run, rows) for run in runs]
    papers = dict.fromkeys(new.paper for new, old in zip(found, runs, strict=True) if new.published and not old.published)
    without = [run.name for run in found if run.corpus == "iemocap" and run.synthetic is False and not run.paper]
    notes = [f"published figures, by head and granularities: {'; '.join(papers)}"] if papers else []
    notes += [f"no published figure is known for {', '.join(without)}"] if without else []
    return found, notes


def beside_papers(group: RunGroup) -> dict[str, dict[str, dict[str, object]]]:
    """Every finished row's difference from the figures that it has: row, then `ua` and `wa`, to `PublishedComparison`."""
    found = {}
    for run in group.finished:
        summary = run.result["summary"]
        found[run.name] = {
            measure: against_published(
                ours=summary["all"][measure]["mean_of_folds"],
                std_seeds=summary["all"][measure]["std_seeds"],
                seeds=len(summary["seeds"]),
                published=figure / 100,
                paper_seeds=run.paper_seeds,
            ).as_dict()
            for measure, figure in run.published.items()
        }
    return found


def _with_figures(run: ReportedRun, rows: Mapping[Identity, PaperRow]) -> ReportedRun:
    if run.setup not in (None, UNCHECKED) or run.status != "done":
        return run
    settings = asked_settings(run.asked, run.result)
    known = rows.get(_identity_of_run(run, settings))
    if known is None:
        return run
    # Asked for beside a paper by a grid, or of its corpus: else nobody wants to hear of that paper.
    if run.setup is None and (run.synthetic is not False or (known.setup or {}).get("corpus") != run.corpus):
        return run
    check = check_setup(known.setup, run.result, settings)
    figures = dict(known.figures) if check.fits else {}
    return replace(run, published=figures, paper=known.paper, paper_seeds=known.seeds, setup=check.text)


def _published_rows() -> dict[Identity, PaperRow]:
    """Every row of a preset that has figures; rows that two tables have with other figures are left out."""
    found: dict[Identity, PaperRow] = {}
    doubtful = set()
    for grid, row in _preset_rows():
        figures = {measure: row[f"published_{measure}"] for measure in ("ua", "wa") if f"published_{measure}" in row}
        if not figures:
            continue
        about = grid["grid"]
        known = PaperRow(
            figures=figures,
            paper=about["paper"],
            seeds=about.get("paper_seeds"),
            setup=paper_setup(grid.get("setup"), {**grid.get("defaults", {}), **row}),
        )
        identity = _identity_of_row(row, about.get("kind") == "finetune")
        if found.setdefault(identity, known).figures != figures:
            doubtful.add(identity)
    return {identity: known for identity, known in found.items() if identity not in doubtful}


def _preset_rows() -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Every row of the presets with its grid, defaults put in."""
    # As files: importing mer.grids would load torch.
    folder = files("mer") / "grids" / "presets"
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".toml"):
            grid = tomllib.loads(file.read_text("utf-8"))
            for row in grid["rows"]:
                yield grid, {**grid.get("defaults", {}), **row}


def _identity_of_row(row: Mapping[str, Any], fine_tuned: bool) -> Identity:
    if fine_tuned:
        return _fine_tuned(row)
    if row.get("fusion") == MULTI_LEVEL:
        return (MULTI_LEVEL, *((*row[part].split("+"), "T") for part in MULTI_LEVEL_PARTS))
    modality = row.get("modality", "both")
    speech = () if modality == "text" else tuple(row["granularity"].split("+"))
    return (row.get("fusion"), *(speech if modality == "speech" else (*speech, "T")))


def _identity_of_run(run: ReportedRun, settings: Sequence[Mapping[str, Any]]) -> Identity:
    if "aux" in run.config:
        return _fine_tuned(run.config)
    if run.config.get("fusion") == MULTI_LEVEL:
        return (MULTI_LEVEL, *(tuple(each.get("branches", ())) for each in settings))
    return (run.config.get("fusion"), *run.result["branches"])


def _fine_tuned(config: Mapping[str, Any]) -> Identity:
    """Modality, fusion, its layers and auxiliary tasks."""
    fusion = config.get("fusion", "ca")
    layers = config.get("fusion_layers", 1) if fusion == "ca" else 0
    return ("finetune", config.get("modality", "both"), fusion, layers, config.get("aux", "none"))
